"""What every page shares: the server it shows, full page or partial, and how an error is said."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from webapp.dialects import STATUSES
from webapp.errors import HearthError, Kind
from webapp.gate import is_inside, server

# What a person may do next. An error's own advice, or a message that says it already, comes before it.
ADVICE: Mapping[Kind, str] = {
    "invalid": "",
    "too_large": "",
    "unauthenticated": "Reload the page to sign in.",
    "forbidden": "",
    "unknown": "",
    "conflict": "",
    "cancelled": "",
    "busy": "",
    "late": "",
    "broken": "",
    "unavailable": "Try again in a moment.",
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


def to_response(error: HearthError | HTTPException) -> Response:
    """An error in words: a notice in the page that is open, or a whole page saying the same."""
    if isinstance(error, HTTPException):
        return _said(error.code or 500, HTTP_WORDS.get(error.code or 500, error.description or ""), "")
    return _said(STATUSES[error.kind], str(error), error.advice or ADVICE[error.kind])


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
