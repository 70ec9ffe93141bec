"""Refuses requests before the application sees them, and adds the headers that every response carries.

The guards and the server's own errors share it, so that their answers look alike. Knows the shapes of WSGI; no
server, no Flask.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from webapp.dialects import Refusal

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

# Called for each refusal with the request's path and id, and the refusal.
OnRefusal = Callable[[str, str, Refusal], None]


def tell_nobody(path: str, request_id: str, refusal: Refusal) -> None:
    """Do nothing: the default for servers that record no refusals."""


def new_request_id() -> str:
    return f"req_{secrets.token_hex(16)}"


def generates(method: str, path: str) -> bool:
    """True for requests that may keep a worker for minutes. Judges by the path alone, before routing."""
    path = "/" + path.lstrip("/")
    return method == "POST" and path.startswith("/v1/") and not path.startswith("/v1/requests/")


def add_common_headers(headers: Headers, request_id: str) -> Headers:
    """Return `headers` with those that every response carries. A header that the application set itself stays."""
    chosen = {name.lower() for name, _ in headers}
    kept = [(name, value) for name, value in headers if name.lower() != "x-request-id"]
    missing = [(name, value) for name, value in SECURITY_HEADERS if name.lower() not in chosen]
    return [*kept, *missing, ("x-request-id", request_id)]


def answer(refusal: Refusal, path: str, request_id: str) -> tuple[Headers, bytes]:
    """Return headers and body of the response for a refusal, in the dialect of the path."""
    kind, body = refusal.body(path, request_id)
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    if refusal.status == 429:
        headers.append(("Retry-After", "1"))
    return add_common_headers(headers, request_id), body
