"""POST /v1/requests/{id}/cancel: stop a request that another connection is waiting for.

A visitor who may not end a request gets the same answer as if there were no such request.
"""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.reply import json_response
from webapp.errors import RequestNotFound
from webapp.gate import server, visitor

routes = Blueprint("requests", __name__, url_prefix="/v1/requests")


@routes.post("/<request_id>/cancel")
def cancel_request(request_id: str) -> Response:
    """Cancel a request of another connection."""
    if not server().router.cancel(request_id, "api", visitor()):
        raise RequestNotFound(request_id)
    return json_response({"id": request_id, "cancelled": True})
