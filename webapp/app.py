"""The Flask application over a Server: JSON under /v1 and /api, HTML everywhere else, never negotiated."""

from __future__ import annotations

import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from webapp import api, gate, pages, paths
from webapp.errors import HearthError
from webapp.server import Server

log = logging.getLogger(__name__)


def create_app(server: Server) -> Flask:
    app = Flask("webapp", template_folder=str(paths.TEMPLATES), static_folder=str(paths.STATIC))
    app.extensions["server"] = server
    app.json.sort_keys = False  # type: ignore[attr-defined]
    api.register(app)
    gate.stand_before(app)
    pages.register(app)
    app.register_error_handler(HTTPException, _answer_error)
    app.register_error_handler(HearthError, _answer_error)
    app.register_error_handler(Exception, _answer_failure)
    return app


def _answer_error(error: HearthError | HTTPException) -> Response:
    """Answer a missing route or a known error in the dialect of its path."""
    return api.to_response(error) if api.is_json_path(request.path) else pages.to_response(error)


def _answer_failure(error: Exception) -> Response:
    """Log an unforeseen exception under its request id, and answer without its details."""
    log.exception("request %s failed: %s %s", request.environ.get("hearth.request_id"), request.method, request.path)
    return _answer_error(InternalServerError())
