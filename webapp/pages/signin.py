"""Sign-in on this computer: while it is on, pages and /api answer nobody without the cookie of a ticket.

/v1 follows its own rules, /health says only that Hearth is there, and static files are nobody's secret.
"""

from __future__ import annotations

from flask import Response, make_response, render_template, request

from webapp.errors import SignInRequired
from webapp.pages.frame import room, server
from webapp.sessions import GOOD_FOR_SECONDS

blueprint = room("signin")

OPEN_TO_ALL = ("/v1/", "/static/")
OPEN_PATHS = ("/v1", "/health", "/sign-in")


def gate() -> None:
    """In front of every route, also of those that are none. Raises SignInRequired."""
    if not is_open(request.path) and not admitted():
        raise SignInRequired


def is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_TO_ALL)


def admitted() -> bool:
    """Whether this request may see pages and use /api."""
    if server().settings.current.sign_in == "off":
        return True
    return server().sessions.holds(request.cookies.get(server().sessions.cookie_name, ""))


@blueprint.get("/sign-in")
def enter() -> Response:
    """Take the ticket of a link. A browser that only looks ahead, or a HEAD, must not use it up."""
    if request.method == "HEAD" or "prefetch" in request.headers.get("Sec-Purpose", ""):
        return make_response("", 204)
    if admitted() or server().tickets.redeem(request.args.get("ticket", "")):
        # A redirect would count as coming from where the link was, and a strict cookie would not be sent along.
        return admit(make_response(render_template("pages/signed_in.html")))
    used = "ticket" in request.args
    return make_response(render_template("pages/sign_in.html", used=used), 401)


def admit(response: Response) -> Response:
    """Give this browser the cookie."""
    response.set_cookie(
        server().sessions.cookie_name,
        server().sessions.issue(),
        max_age=GOOD_FOR_SECONDS,
        httponly=True,
        samesite="Strict",
    )
    return response


def ask_to_sign_in() -> Response:
    return make_response(render_template("pages/sign_in.html", used=False), 401)
