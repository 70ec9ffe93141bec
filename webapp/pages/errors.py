"""Shows an error on a page: its own message, and by its kind what a person may do next."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, make_response, render_template
from werkzeug.exceptions import HTTPException

from webapp.dialects import STATUSES
from webapp.errors import HearthError, Kind
from webapp.pages.room import uncached, wants_partial

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


def to_response(error: HearthError | HTTPException) -> Response:
    """Return an error as a notice for the open page, or as a whole page."""
    if isinstance(error, HTTPException):
        return _page_of(error.code or 500, HTTP_WORDS.get(error.code or 500, error.description or ""), "")
    return _page_of(STATUSES[error.kind], str(error), error.advice or ADVICE[error.kind])


def _page_of(status: int, message: str, advice: str) -> Response:
    template = "partials/notice.html" if wants_partial() else "pages/error.html"
    return uncached(make_response(render_template(template, message=message, advice=advice), status))
