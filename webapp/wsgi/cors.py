"""Cross-origin requests: which pages of other sites may use /v1, and the headers that say so to browsers.

A page may only if the settings list its origin, and never with cookies. Knows the shapes of WSGI; no server.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from webapp.addresses import Origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]

METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
EXPOSED = "x-request-id, request-id, x-hearth-ignored, retry-after, x-should-retry, openai-processing-ms"
ASKED_AGAIN_AFTER_SECONDS = "600"


def allowed_origin(environ: WSGIEnvironment, origins: Iterable[str]) -> str | None:
    """Return the request's origin as the browser wrote it, if `origins` allow it for this path."""
    path = "/" + environ.get("PATH_INFO", "").lstrip("/")
    written = str(environ.get("HTTP_ORIGIN", ""))
    origin = Origin.of(written)
    if not path.startswith("/v1/") or origin is None or not origin.is_among(origins):
        return None
    return written


def is_preflight(environ: WSGIEnvironment) -> bool:
    return environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ


def headers_for(origin: str) -> Headers:
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", EXPOSED),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Vary", "Origin"),
    ]


def preflight_headers(environ: WSGIEnvironment, origin: str) -> Headers:
    """Return the methods and headers that the page may send. All headers may; their values are checked on arrival."""
    headers = [
        *headers_for(origin),
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")),
        ("Access-Control-Max-Age", ASKED_AGAIN_AFTER_SECONDS),
        ("Content-Length", "0"),
    ]
    if "HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK" in environ:
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return headers
