"""Which language a path speaks, and how an error is written in it.

Pages speak text, /api and /v1 JSON, and Anthropic's routes its own JSON.

The path alone decides; nothing is negotiated. Knows no server and no Flask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

Dialect = Literal["page", "plain", "openai", "anthropic"]

# Anthropic's word for an error, by its status; other refusals are an invalid_request_error, failures an api_error.
ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def dialect_of(path: str) -> Dialect:
    """The language in which a path is answered, whether or not there is a route at it."""
    path = "/" + path.lstrip("/")
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return "anthropic"
    if path == "/v1" or path.startswith("/v1/"):
        return "openai"
    return "plain" if path in ("/api", "/health") or path.startswith("/api/") else "page"


def wants_json(path: str) -> bool:
    """Whether programs ask there, and not people."""
    return dialect_of(path) != "page"


def speaks_anthropic(path: str) -> bool:
    """Whether Anthropic's clients ask there."""
    return dialect_of(path) == "anthropic"


def as_anthropic(body: Mapping[str, Any], status: int, request_id: str) -> dict[str, Any]:
    """OpenAI's error body in Anthropic's shape; `code` and `param` stay, clients skip what they do not know."""
    kind = ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {**body["error"], "type": kind}, "request_id": request_id}


@dataclass(frozen=True)
class Refusal:
    """The answer in place of the application's: a status, a code for programs, a sentence for people."""

    status: int
    code: str
    message: str

    @property
    def status_line(self) -> str:
        """The status with its phrase, as HTTP's first line has it."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def body(self, path: str, request_id: str) -> tuple[str, bytes]:
        """The content type and the body of the answer, in the language of the path."""
        if wants_json(path):
            return "application/json", self._json(path, request_id)
        return "text/plain; charset=utf-8", self._text(request_id)

    def _json(self, path: str, request_id: str) -> bytes:
        error = {"message": self.message, "type": self._type, "param": None, "code": self.code}
        body: dict[str, Any] = {"error": error}
        return json.dumps(as_anthropic(body, self.status, request_id) if speaks_anthropic(path) else body).encode()

    def _text(self, request_id: str) -> bytes:
        return f"{self.status_line}\n\n{self.message}\n\nRequest {request_id}\n".encode()

    @property
    def _type(self) -> str:
        if self.status >= 500:
            return "server_error"
        return {403: "permission_error", 429: "rate_limit_error"}.get(self.status, "invalid_request_error")
