"""The checks in front of the application: request ids, the Host and Origin checks, CORS, security headers.

WSGI middleware, so that no route, static file or WebSocket can be reached around it. It must not know
Flask, the server below or what any route does. Why each check exists: docs/server.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from webapp.addresses import Admitted, Host, Origin
from webapp.dialects import Refusal
from webapp.wsgi import cors
from webapp.wsgi.refusals import OnRefusal, add_common_headers, answer, new_request_id, tell_nobody

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Guards:
    """Wraps `application`; calls `admitted` for each request, so that changed settings act at once."""

    def __init__(
        self,
        application: WSGIApplication,
        admitted: Callable[[], Admitted] = Admitted,
        on_refusal: OnRefusal = tell_nobody,
    ):
        self._application = application
        self._admitted = admitted
        self._on_refusal = on_refusal

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = environ["hearth.request_id"] = new_request_id()
        client_request_id = environ.get("HTTP_X_CLIENT_REQUEST_ID", "")
        if _CLIENT_REQUEST_ID.fullmatch(client_request_id):
            environ["hearth.client_request_id"] = client_request_id

        admitted = self._admitted()
        origin = cors.allowed_origin(environ, admitted.origins)
        refusal = refused_host(environ, admitted) or (refused_origin(environ) if origin is None else None)
        if refusal is not None:
            path = environ.get("PATH_INFO", "")
            self._on_refusal(path, request_id, refusal)
            headers, body = answer(refusal, path, request_id)
            start_response(refusal.status_line, headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        if origin is not None and cors.is_preflight(environ):
            start_response("204 No Content", add_common_headers(cors.preflight_headers(environ, origin), request_id))
            return []

        def start_with_headers(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            shared = cors.headers_for(origin) if origin is not None else []
            return start_response(status, add_common_headers([*headers, *shared], request_id), *exc_info)

        return self._application(environ, start_with_headers)


def refused_host(environ: WSGIEnvironment, admitted: Admitted) -> Refusal | None:
    """Refuse a host name that is not ours: a foreign site may point its name at this machine (DNS rebinding)."""
    host = Host.of(environ.get("HTTP_HOST", ""))
    if host is None:  # missing, empty, or several joined by a comma
        return Refusal(400, "invalid_host", "The request must carry exactly one valid Host header.")
    if host.is_among(admitted.hosts) or (admitted.any_ip and host.is_ip):
        return None
    return Refusal(403, "host_not_allowed", f"Hearth does not answer to the host name '{host.name}'.")


def refused_origin(environ: WSGIEnvironment) -> Refusal | None:
    """Refuse unsafe requests and WebSockets from pages of other sites, as CORS does not stop these."""
    if environ["REQUEST_METHOD"] in _SAFE_METHODS and "websocket" not in environ.get("HTTP_UPGRADE", "").lower():
        return None
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        same = site in ("same-origin", "none")
    else:
        same = "HTTP_ORIGIN" not in environ or _is_same_site(environ["HTTP_ORIGIN"], environ.get("HTTP_HOST", ""))
    if same:
        return None
    return Refusal(403, "origin_not_allowed", "Requests from pages of another site are not allowed.")


def _is_same_site(origin: str, host: str) -> bool:
    page, here = Origin.of(origin), Host.of(host)
    return page is not None and here is not None and page.is_of(here)
