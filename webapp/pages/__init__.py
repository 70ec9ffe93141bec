"""HTML only: routes that return pages and partials. Knows the server's floor and below, never the API."""

from flask import Flask, Response

from webapp.errors import SignInRequired
from webapp.pages import frame, live, words
from webapp.pages.about import blueprint as about_pages
from webapp.pages.activity import blueprint as activity_pages
from webapp.pages.audit import blueprint as audit_pages
from webapp.pages.chat import blueprint as chat_pages
from webapp.pages.frame import surroundings, wants_partial
from webapp.pages.models import blueprint as model_pages
from webapp.pages.notices import blueprint as notice_pages
from webapp.pages.profiles import blueprint as profile_pages
from webapp.pages.settings import blueprint as settings_pages
from webapp.pages.signin import ask_to_sign_in, gate
from webapp.pages.signin import blueprint as signin_pages

__all__ = ["blueprints", "register", "to_response"]

blueprints = (
    chat_pages,
    model_pages,
    profile_pages,
    activity_pages,
    audit_pages,
    settings_pages,
    notice_pages,
    about_pages,
    signin_pages,
)


def register(app: Flask) -> None:
    """Everything the pages need from the application; the gate first, so that it stands in front of every route."""
    app.before_request(gate)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    for name, filter_ in words.FILTERS.items():
        app.add_template_filter(filter_, name)
    app.context_processor(surroundings)
    live.register(app)


def to_response(error: Exception) -> Response:
    """An error as a notice or a page; who has to sign in gets the page that says how."""
    if isinstance(error, SignInRequired) and not wants_partial():
        return ask_to_sign_in()
    return frame.to_response(error)
