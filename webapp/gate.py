"""The gate before every route, page, file and WebSocket: lets in whom `access` admits. Flask's side of it.

It stands behind the beginning of a request's record, so that the audit has those turned away, too.
"""

from __future__ import annotations

from typing import cast

from flask import Flask, Response, current_app, g, request

from webapp.addresses import Host
from webapp.dialects import wants_json
from webapp.people.access import Access, Credential, Visitor
from webapp.people.keys import SESSION_SECONDS
from webapp.server import Server

PROXIED = ("Forwarded", "X-Forwarded-For")
NOBODY = Visitor(scope="inference")
API = "api"
PAGE = "page"


def stand_before(app: Flask) -> None:
    app.before_request(let_in)


def let_in() -> None:
    g.visitor = admitted()
    g.inside = access().may_see_pages(g.visitor)


def admitted() -> Visitor:
    """Who asks. Raises what `Access.admit` raises; a socket that stays open is asked about again and again."""
    # What a proxy on this machine brings comes from anywhere.
    host = Host.of(request.host)
    at_home = host is not None and host.is_home and not any(name in request.headers for name in PROXIED)
    return access().admit(credential(), request.path, request.remote_addr or "", at_home)


def server() -> Server:
    """The long-lived objects that this application shows."""
    return cast(Server, current_app.extensions["server"])


def who() -> str:
    """Whom the audit names for an act of administration: a key, or by which door somebody without one came."""
    return visitor().name or (API if wants_json(request.path) else PAGE)


def visitor() -> Visitor:
    """Who was let in; nobody in particular where a page says no."""
    return cast(Visitor, g.get("visitor", NOBODY))


def is_inside() -> bool:
    """Whether who was let in may see the pages; as it was when the request came, whatever it changes."""
    return bool(g.get("inside", False))


def signed_in() -> bool:
    """Whether this browser has a session; also asked where everybody is let in."""
    return access().is_signed_in(credential())


def was_let_in() -> bool:
    return "visitor" in g


def access() -> Access:
    return server().access


def credential() -> Credential:
    headers, cookie = request.headers, request.cookies.get(access().cookie_name)
    return Credential.of(headers.get("Authorization", ""), headers.get("x-api-key", ""), cookie)


def keep_session(response: Response, secret: str) -> Response:
    """Give this browser the cookie. Not `Secure`: there is no TLS, and a browser would not send it back."""
    response.set_cookie(access().cookie_name, secret, max_age=SESSION_SECONDS, httponly=True, samesite="Strict")
    return response


def forget_session(response: Response) -> Response:
    response.delete_cookie(access().cookie_name, httponly=True, samesite="Strict")
    return response
