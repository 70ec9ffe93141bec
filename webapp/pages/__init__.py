"""HTML only: routes that return pages and partials. Knows the server's floor and below, never the API."""

from flask import Flask

from webapp.pages import chat, frame, live, models, settings, words
from webapp.pages.frame import to_response

__all__ = ["blueprints", "register", "to_response"]

blueprints = (chat.blueprint, models.blueprint, settings.blueprint)


def register(app: Flask) -> None:
    """Everything the pages need from the application."""
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    for name, filter_ in words.FILTERS.items():
        app.add_template_filter(filter_, name)
    app.context_processor(frame.surroundings)
    live.register(app)
