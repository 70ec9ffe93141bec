"""What every page shares: the server it shows, full page or partial, and how an error is said."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from webapp.errors import (
    Conflict,
    Forbidden,
    HearthError,
    InvalidRequest,
    KeyNotFound,
    ModelNotFound,
    NotAuthenticated,
    ProfileNotFound,
    QueueFull,
    TimedOut,
    TooManyAttempts,
    Unavailable,
)
from webapp.gate import is_inside, server

STATUS: dict[type[HearthError], int] = {
    InvalidRequest: 400,
    NotAuthenticated: 401,
    TooManyAttempts: 429,
    Forbidden: 403,
    ModelNotFound: 404,
    ProfileNotFound: 404,
    KeyNotFound: 404,
    Conflict: 409,
    QueueFull: 429,
    TimedOut: 504,
    Unavailable: 503,
}

NEXT: dict[type[HearthError], str] = {
    NotAuthenticated: "Reload the page to sign in.",
    ModelNotFound: "Choose another model below the message.",
    QueueFull: "Try again in a moment.",
    Unavailable: "Try again in a moment.",
}

HTTP_WORDS = {
    404: "There is nothing at this address. The conversation may have been deleted.",
    405: "This address does not do that.",
    413: "That is more than a message can hold (1 MB). Shorten it and send it again.",
    500: "Hearth failed while making this page. The log says why.",
}


def wants_partial() -> bool:
    """htmx asks for a part; a browser going back asks for the whole page, also through htmx."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def room(name: str) -> Blueprint:
    blueprint = Blueprint(name, __name__)
    blueprint.after_request(uncached)
    return blueprint


def to_response(error: Exception) -> Response:
    """An error in words: a notice in the page that is open, or a whole page saying the same."""
    if isinstance(error, HTTPException):
        return _said(error.code or 500, HTTP_WORDS.get(error.code or 500, error.description or ""), "")
    status = status_of(error)
    advice = next((text for kind, text in NEXT.items() if isinstance(error, kind)), "")
    return _said(status, str(error), advice)


def status_of(error: Exception) -> int:
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)


def _said(status: int, message: str, advice: str) -> Response:
    template = "partials/notice.html" if wants_partial() else "pages/error.html"
    return uncached(make_response(render_template(template, message=message, advice=advice), status))


def surroundings() -> dict[str, object]:
    """What the layout shows on every page; nothing of what Hearth does to those who are kept out of its pages."""
    here = server()
    if not is_inside():
        return {"theme": here.settings.current.theme, "inside": False, "room": ""}
    return {
        "inside": True,
        "theme": here.settings.current.theme,
        "snapshot": here.engine.snapshot,
        "version": here.version,
        "standing": here.notices.standing,
        "room": request.blueprint or "",
    }


def uncached(response: Response) -> Response:
    """Conversations are nobody else's: no cache keeps them, and parts are never mistaken for pages."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.vary.update(["HX-Request", "HX-History-Restore-Request"])
    return response
