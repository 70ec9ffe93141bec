"""The dialect of a path, and the form of an error in it: its status, its type and its body.

Pages speak text, /api and /v1 JSON, and Anthropic's routes its own JSON.

The path alone decides; nothing is negotiated. Knows no server and no Flask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from webapp.errors import ContextLengthExceeded, HearthError, InvalidFields, Kind

Dialect = Literal["page", "plain", "openai", "anthropic"]

# Statuses decide whether a client tries again by itself: after 409, 429 and 5xx it does.
STATUSES: Mapping[Kind, int] = {
    "invalid": 400,
    "too_large": 413,
    "unauthenticated": 401,
    "forbidden": 403,
    "unknown": 404,
    "conflict": 409,
    "cancelled": 499,
    "busy": 429,
    "late": 504,
    "broken": 500,
    "unavailable": 503,
}
OPENAI_TYPES: Mapping[Kind, str] = {
    "invalid": "invalid_request_error",
    "too_large": "invalid_request_error",
    "unauthenticated": "invalid_request_error",
    "forbidden": "permission_error",
    "unknown": "invalid_request_error",
    "conflict": "invalid_request_error",
    "cancelled": "invalid_request_error",
    "busy": "rate_limit_error",
    "late": "timeout_error",
    "broken": "server_error",
    "unavailable": "server_error",
}
ANTHROPIC_TYPES: Mapping[Kind, str] = {
    "invalid": "invalid_request_error",
    "too_large": "request_too_large",
    "unauthenticated": "authentication_error",
    "forbidden": "permission_error",
    "unknown": "not_found_error",
    "conflict": "invalid_request_error",
    "cancelled": "invalid_request_error",
    "busy": "rate_limit_error",
    "late": "timeout_error",
    "broken": "api_error",
    "unavailable": "overloaded_error",
}


def dialect_of(path: str) -> Dialect:
    """Return the dialect of a path's responses, whether or not it has a route."""
    path = "/" + path.lstrip("/")
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return "anthropic"
    if path == "/v1" or path.startswith("/v1/"):
        return "openai"
    return "plain" if path in ("/api", "/health") or path.startswith("/api/") else "page"


def wants_json(path: str) -> bool:
    """True if the path is for programs, not for people."""
    return dialect_of(path) != "page"


def speaks_anthropic(path: str) -> bool:
    """True if the path is for Anthropic's clients."""
    return dialect_of(path) == "anthropic"


def kind_of(status: int) -> Kind:
    """The kind of error that has this status; other statuses below 500 are invalid requests, those above failures."""
    kinds = {known: kind for kind, known in STATUSES.items()}
    return kinds.get(status, "invalid" if status < 500 else "broken")


@dataclass(frozen=True)
class Refusal:
    """The answer in place of the application's: a status, a code for programs, a sentence for people."""

    status: int
    code: str | None
    message: str

    @property
    def kind(self) -> Kind:
        """The kind of error that its status stands for."""
        return kind_of(self.status)

    @property
    def status_line(self) -> str:
        """The status with its phrase, as HTTP's first line has it."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def body(self, path: str, request_id: str) -> tuple[str, bytes]:
        """The content type and the body of the answer, in the language of the path."""
        if wants_json(path):
            return "application/json", json.dumps(error_body(self, dialect_of(path), request_id)).encode()
        return "text/plain; charset=utf-8", self._text(request_id)

    def _text(self, request_id: str) -> bytes:
        return f"{self.status_line}\n\n{self.message}\n\nRequest {request_id}\n".encode()


def error_body(error: HearthError | Refusal, dialect: Dialect, request_id: str = "") -> dict[str, Any]:
    """Return the JSON of `error` for programs, as a reply or inside a stream. InvalidFields names every wrong field.

    Only Anthropic's clients read the request's id in it; they skip `param` and `code`, which they do not know.
    """
    types = ANTHROPIC_TYPES if dialect == "anthropic" else OPENAI_TYPES
    param = error.param if isinstance(error, HearthError) else None
    inner: dict[str, Any] = {
        "message": _message(error, dialect),
        "type": types[error.kind],
        "param": param,
        "code": error.code,
    }
    if isinstance(error, InvalidFields):
        inner["errors"] = dict(error.errors)
    return {"type": "error", "error": inner, "request_id": request_id} if dialect == "anthropic" else {"error": inner}


def _message(error: HearthError | Refusal, dialect: Dialect) -> str:
    match error:
        case Refusal():
            return error.message
        case ContextLengthExceeded() if dialect == "anthropic":
            # Agents look for these words, and then shorten the conversation and try again.
            return f"prompt is too long: {error.prompt_tokens} tokens > {error.context_length} maximum"
        case _:
            return str(error)
