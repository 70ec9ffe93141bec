"""The HTTP API: /v1 for clients of OpenAI's or Anthropic's API, /api for programs that manage Hearth.

Answers are for programs, and one page describes the API to people. This package may import the server and the floors
below; it never touches a model's arrays or a database table.
"""

from __future__ import annotations

import time

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from webapp.api import docs, record
from webapp.api.anthropic import messages
from webapp.api.current import request_id
from webapp.api.errors import to_response
from webapp.api.manage import audit, health, keys, metrics, models, pool, profiles, settings
from webapp.api.openai import cancelling, chat, completions, embeddings, responses, tokens
from webapp.api.openai import models as known_models
from webapp.dialects import speaks_anthropic
from webapp.dialects import wants_json as is_json_path
from webapp.errors import HearthError

OPENAI_VERSION = "2020-10-01"

blueprints = (
    chat.routes,
    completions.routes,
    embeddings.routes,
    responses.routes,
    messages.routes,
    tokens.routes,
    docs.routes,
    known_models.routes,
    cancelling.routes,
    health.routes,
    metrics.routes,
    pool.routes,
    models.routes,
    settings.routes,
    profiles.routes,
    keys.routes,
    audit.routes,
)

__all__ = ["blueprints", "is_json_path", "register", "to_response"]


def register(app: Flask) -> None:
    """Registers the routes, and adds their headers also to errors that no route answered (404, 405, 413).

    Everything else that fails reaches the application's own handlers: for `is_json_path` they answer
    with `to_response(error)`.
    """
    api = Blueprint("api", __name__)
    api.register_error_handler(HearthError, _refuse)
    api.register_error_handler(HTTPException, to_response)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    app.register_blueprint(api)
    app.before_request(_note_start)
    app.before_request(record.begin)
    app.teardown_request(record.end)
    app.after_request(_add_headers)


def _refuse(error: HearthError) -> Response:
    if "record" in g:
        record.record().translate(error)
    return to_response(error)


def _note_start() -> None:
    g.started = time.perf_counter()


def _add_headers(response: Response) -> Response:
    if not is_json_path(request.path):
        return response
    response.headers["Cache-Control"] = "no-store"
    if request.path.startswith("/v1"):
        started = g.get("started", time.perf_counter())
        response.headers["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1000))
        response.headers["openai-version"] = OPENAI_VERSION
    if speaks_anthropic(request.path):
        response.headers["request-id"] = request_id()
    return response
