"""The route that dismisses a notice; notices stay on every page until then."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, make_response, redirect, request

from webapp.gate import server
from webapp.pages.room import room, wants_partial

blueprint = room("notices")


@blueprint.post("/notices/<int:notice_id>/dismiss")
def dismiss(notice_id: int) -> Response:
    server().notices.dismiss(notice_id)
    if wants_partial():
        return make_response("", 204)
    came_from = urlsplit(request.referrer or "").path.lstrip("/")
    return make_response(redirect(f"/{came_from}", 303))
