"""Errors as replies: any exception as JSON in the language of its path, with the headers that clients obey.

Statuses and headers decide whether a client tries again: 409, 429 and 5xx are retried, unless `x-should-retry` says no.
"""

from __future__ import annotations

import json

from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from webapp.api.current import request_id
from webapp.dialects import STATUSES, Refusal, dialect_of, error_body
from webapp.errors import HearthError, Kind

_HTTP_CODES = (
    (400, "bad_request"),
    (404, "unknown_url"),
    (405, "method_not_allowed"),
    (408, "request_timeout"),
    (413, "request_too_large"),
    (415, "unsupported_media_type"),
)
# Clients retry these by themselves, which helps only if the error names a time for it.
_NOT_AGAIN: frozenset[Kind] = frozenset({"conflict", "late", "unavailable"})


def to_response(error: Exception) -> Response:
    """Return any exception as JSON. The body for an unforeseen one holds no details but the request's id."""
    match error:
        case HearthError():
            return _json(error, STATUSES[error.kind], headers_of(error))
        case HTTPException():
            return _from_http(error)
        case _:
            return _internal(500)


def headers_of(error: HearthError) -> dict[str, str]:
    """Return the headers that tell a client how to sign in, when to try again, or not to try again."""
    if error.kind == "unauthenticated":
        return {"WWW-Authenticate": "Bearer"}
    if error.retry_after_seconds is not None:
        return {"Retry-After": str(error.retry_after_seconds)}
    return {"x-should-retry": "false"} if error.fails_again or error.kind in _NOT_AGAIN else {}


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _internal(status)
    code = next((code for known, code in _HTTP_CODES if known == status), None)
    message = error.description or error.name
    if status in (404, 405):
        message = f"No such route: {request.method} {request.path}."
    headers = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if isinstance(error, MethodNotAllowed) else {}
    return _json(Refusal(status, code, message), status, headers)


def _internal(status: int) -> Response:
    message = f"Hearth failed on this request. Its log names the cause under {request_id()}."
    return _json(Refusal(status, "internal_error", message), status)


def _json(error: HearthError | Refusal, status: int, headers: dict[str, str] | None = None) -> Response:
    body = error_body(error, dialect_of(request.path), request_id())
    return Response(json.dumps(body, ensure_ascii=False), status, headers, content_type="application/json")
