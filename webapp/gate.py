"""The gate before every route, page, file and WebSocket: lets in the visitors that `access` admits.

It runs after a request's record has begun, so that the audit has refused requests, too.
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
    """Return the visitor. Raises what `Access.admit` raises. An open WebSocket calls this again and again."""
    # A request through a proxy on this machine may come from anywhere.
    host = Host.of(own_host())
    at_home = host is not None and host.is_home and not any(name in request.headers for name in PROXIED)
    return access().admit(credential(), request.path, request.remote_addr or "", at_home)


def own_host() -> str:
    """Return the Host of the request as the guards read it; Flask's own reading is empty for names it dislikes."""
    return str(request.environ.get("HTTP_HOST", ""))


def own_address() -> str:
    """Return the address that this page was asked under, without a path."""
    return f"{request.scheme}://{own_host()}"


def server() -> Server:
    """Return the long-lived objects behind this application."""
    return cast(Server, current_app.extensions["server"])


def who() -> str:
    """Return the name for the audit of an act of administration: the key's, or API or PAGE without a key."""
    return visitor().name or (API if wants_json(request.path) else PAGE)


def visitor() -> Visitor:
    """Return the admitted visitor, or NOBODY while an error page is made for a refused one."""
    return cast(Visitor, g.get("visitor", NOBODY))


def is_inside() -> bool:
    """True if the visitor may see the pages, as decided when the request came."""
    return bool(g.get("inside", False))


def signed_in() -> bool:
    """True if this browser has a session, also where nobody needs one."""
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
