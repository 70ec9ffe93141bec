"""The routes that return HTML pages and partials. They may import the server and the floors below, never the API."""

import time

from flask import Flask

from webapp.pages.about import blueprint as about_pages
from webapp.pages.activity import blueprint as activity_pages
from webapp.pages.audit import blueprint as audit_pages
from webapp.pages.chat import blueprint as chat_pages
from webapp.pages.connect import blueprint as connect_pages
from webapp.pages.drawing import words
from webapp.pages.live import socket as live
from webapp.pages.models import blueprint as model_pages
from webapp.pages.notices import blueprint as notice_pages
from webapp.pages.profiles import blueprint as profile_pages
from webapp.pages.room import surroundings
from webapp.pages.settings import blueprint as settings_pages
from webapp.pages.signin import blueprint as signin_pages
from webapp.pages.signin import to_response

__all__ = ["blueprints", "register", "to_response"]

blueprints = (
    chat_pages,
    model_pages,
    profile_pages,
    activity_pages,
    audit_pages,
    connect_pages,
    settings_pages,
    notice_pages,
    about_pages,
    signin_pages,
)
# The rooms that the rail leads to: each has its name as its address and as its icon.
RAIL = ("chat", "models", "activity", "audit", "connect", "settings")


def register(app: Flask) -> None:
    """Register everything that the pages need: routes, template filters and globals, and `/live`."""
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    for name, filter_ in words.FILTERS.items():
        app.add_template_filter(filter_, name)
    app.context_processor(surroundings)
    app.add_template_global(time.time, "now")
    app.jinja_env.globals["rail"] = RAIL
    live.register(app)
