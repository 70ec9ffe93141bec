"""Errors as OpenAI's clients expect them, and Anthropic's on its routes: one table from class to status and type.

Statuses and headers decide whether a client tries again: 5xx and 429 are retried, unless
`x-should-retry` says no.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from webapp.api.current import request_id
from webapp.dialects import as_anthropic, speaks_anthropic
from webapp.errors import (
    Cancelled,
    Conflict,
    ContextLengthExceeded,
    EngineFailed,
    Forbidden,
    HearthError,
    InvalidFields,
    InvalidRequest,
    KeyNotFound,
    ModelLoadFailed,
    ModelNotFound,
    NotAuthenticated,
    ProfileNotFound,
    QueueFull,
    ResponseNotFound,
    TimedOut,
    TooManyAttempts,
    Unavailable,
)

# The first class that fits wins.
TABLE: tuple[tuple[type[HearthError], int, str], ...] = (
    (InvalidRequest, 400, "invalid_request_error"),
    (NotAuthenticated, 401, "invalid_request_error"),
    (TooManyAttempts, 429, "rate_limit_error"),
    (Forbidden, 403, "permission_error"),
    (ModelNotFound, 404, "invalid_request_error"),
    (ProfileNotFound, 404, "invalid_request_error"),
    (KeyNotFound, 404, "invalid_request_error"),
    (ResponseNotFound, 404, "invalid_request_error"),
    (Conflict, 409, "invalid_request_error"),
    (QueueFull, 429, "rate_limit_error"),
    (Cancelled, 499, "invalid_request_error"),
    (TimedOut, 504, "timeout_error"),
    (ModelLoadFailed, 500, "server_error"),
    (EngineFailed, 500, "server_error"),
    (Unavailable, 503, "server_error"),
    (HearthError, 500, "server_error"),
)
_HTTP_CODES = (
    (400, "bad_request"),
    (404, "unknown_url"),
    (405, "method_not_allowed"),
    (408, "request_timeout"),
    (413, "request_too_large"),
    (415, "unsupported_media_type"),
)


def error_body(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_of(error: HearthError) -> dict[str, Any]:
    """What goes on the wire for `error`, as a reply or inside a stream. Forms name every field at fault."""
    body = error_body(str(error), _row(error)[1], error.code, _param(error))
    if isinstance(error, InvalidFields):
        body["error"]["errors"] = dict(error.errors)
    return body


def anthropic_body_of(error: HearthError, request_id: str) -> dict[str, Any]:
    """The same for Anthropic's clients."""
    body = body_of(error)
    if isinstance(error, ContextLengthExceeded):
        # Agents look for these words: then they shorten the conversation and try again.
        body["error"]["message"] = f"prompt is too long: {error.prompt_tokens} tokens > {error.context_length} maximum"
    return as_anthropic(body, status_of(error), request_id)


def status_of(error: HearthError) -> int:
    return _row(error)[0]


def to_response(error: Exception) -> Response:
    """Any exception as JSON. What is not ours says nothing but the request's id."""
    match error:
        case HearthError():
            anthropic = speaks_anthropic(request.path)
            body = anthropic_body_of(error, request_id()) if anthropic else body_of(error)
            return _json(body, status_of(error), _headers(error))
        case HTTPException():
            return _from_http(error)
        case _:
            return _internal(500)


def _row(error: HearthError) -> tuple[int, str]:
    return next((status, kind) for cls, status, kind in TABLE if isinstance(error, cls))


def _param(error: HearthError) -> str | None:
    match error:
        case InvalidRequest() | Conflict() | Forbidden():
            return error.param
        case ModelNotFound():
            return "model"
        case _:
            return None


def _headers(error: HearthError) -> dict[str, str]:
    match error:
        case NotAuthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case Conflict() | ModelLoadFailed() | TimedOut() | Unavailable(retry_after_seconds=None):
            return {"x-should-retry": "false"}
        case QueueFull() | TooManyAttempts() | Unavailable():
            return {"Retry-After": str(error.retry_after_seconds)}
        case _:
            return {}


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _internal(status)
    code = next((code for known, code in _HTTP_CODES if known == status), None)
    message = error.description or error.name
    if status in (404, 405):
        message = f"No such route: {request.method} {request.path}."
    headers = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if isinstance(error, MethodNotAllowed) else {}
    return _json(_spoken(error_body(message, "invalid_request_error", code), status), status, headers)


def _spoken(body: dict[str, Any], status: int) -> dict[str, Any]:
    return as_anthropic(body, status, request_id()) if speaks_anthropic(request.path) else body


def _internal(status: int) -> Response:
    message = f"Hearth failed on this request. Its log names the cause under {request_id()}."
    return _json(_spoken(error_body(message, "server_error", "internal_error"), status), status)


def _json(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, headers, content_type="application/json")
