"""How a request is refused before the application sees it, and the headers that every response carries.

Shared by the guards and by the server's own errors, so that both speak with one voice. Knows the shapes
of WSGI and of OpenAI's and Anthropic's errors; no server, no Flask.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Headers = list[tuple[str, str]]

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


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


def new_request_id() -> str:
    return f"req_{secrets.token_hex(16)}"


def wants_json(path: str) -> bool:
    """JSON for programs, text for pages; decided by the path alone, never negotiated."""
    path = "/" + path.lstrip("/")
    return path in ("/v1", "/api", "/health") or path.startswith(("/v1/", "/api/"))


def generates(method: str, path: str) -> bool:
    """Requests that may keep a worker for minutes, decided before any route is known. Cancelling is not one."""
    path = "/" + path.lstrip("/")
    return method == "POST" and path.startswith("/v1/") and not path.startswith("/v1/requests/")


def speaks_anthropic(path: str) -> bool:
    """Whose clients ask there decides how an error looks."""
    path = "/" + path.lstrip("/")
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def as_anthropic(body: Mapping[str, Any], status: int, request_id: str) -> dict[str, Any]:
    """OpenAI's error body in Anthropic's shape; `code` and `param` stay, clients skip what they do not know."""
    kind = ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {**body["error"], "type": kind}, "request_id": request_id}


def add_common_headers(headers: Headers, request_id: str) -> Headers:
    """`headers` with what every response carries. A header that the application chose itself stays."""
    chosen = {name.lower() for name, _ in headers}
    kept = [(name, value) for name, value in headers if name.lower() != "x-request-id"]
    missing = [(name, value) for name, value in SECURITY_HEADERS if name.lower() not in chosen]
    return [*kept, *missing, ("x-request-id", request_id)]


@dataclass(frozen=True)
class Refusal:
    """The answer in place of the application's: a status, a code for programs, a sentence for people."""

    status: int
    code: str
    message: str

    @property
    def status_line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def answer(self, path: str, request_id: str) -> tuple[Headers, bytes]:
        if wants_json(path):
            kind, body = "application/json", self._json(path, request_id)
        else:
            kind, body = "text/plain; charset=utf-8", self._text(request_id)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        if self.status == 429:
            headers.append(("Retry-After", "1"))
        return add_common_headers(headers, request_id), body

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


# Told of each refusal: the path asked for, the request's id, and what was said.
OnRefusal = Callable[[str, str, Refusal], None]


def tell_nobody(path: str, request_id: str, refusal: Refusal) -> None:
    """For those who keep no account."""
