"""Signing in: on this computer with a ticket, from others with an admin key. Both set a cookie, with no JavaScript."""

from __future__ import annotations

import re

from flask import Response, make_response, redirect, render_template, request
from werkzeug.exceptions import HTTPException

from webapp.dialects import STATUSES
from webapp.errors import Forbidden, HearthError, NotAuthenticated, SignInRequired, TooManyAttempts
from webapp.gate import access, credential, forget_session, keep_session, server, signed_in
from webapp.pages import errors
from webapp.pages.room import room, wants_partial

# A path on this host, and nothing that a browser would read as another host.
PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")

blueprint = room("signin")


@blueprint.get("/sign-in")
def enter() -> Response:
    """Redeem the ticket of a link. A prefetch or a HEAD must not use it up."""
    if request.method == "HEAD" or "prefetch" in request.headers.get("Sec-Purpose", ""):
        return make_response("", 204)
    if not signed_in() and not server().tickets.redeem(request.args.get("ticket", "")):
        return make_response(render_template("pages/sign_in.html", used="ticket" in request.args), 401)
    # After a redirect the browser would count the link's page as the source and not send the strict cookie.
    page = make_response(render_template("pages/signed_in.html"))
    return page if signed_in() else keep_session(page, server().keys.begin_session(None))


@blueprint.get("/login")
def ask() -> Response:
    return _form(request.args.get("next", "/"))


@blueprint.post("/login")
def log_in() -> Response:
    way_on = request.form.get("next", "/")
    try:
        secret = access().sign_in(request.form.get("key", "").strip(), request.remote_addr or "")
    except (NotAuthenticated, TooManyAttempts, Forbidden) as error:
        return _form(way_on, error)
    return keep_session(make_response(redirect(way_on if PATH.fullmatch(way_on) else "/", 303)), secret)


@blueprint.post("/logout")
def log_out() -> Response:
    access().sign_out(credential())
    return forget_session(make_response(redirect("/login", 303)))


def to_response(error: HearthError | HTTPException) -> Response:
    """Return an error as a notice or a page, or the page to sign in if the visitor has to."""
    if wants_partial() or not isinstance(error, NotAuthenticated):
        return errors.to_response(error)
    if isinstance(error, SignInRequired):
        return make_response(render_template("pages/sign_in.html", used=False), 401)
    return _form(request.full_path.rstrip("?") if request.method == "GET" else "/", status=401)


def _form(way_on: str, error: HearthError | None = None, status: int = 200) -> Response:
    page = render_template("pages/login.html", way_on=way_on, error=error)
    return make_response(page, STATUSES[error.kind] if error else status)
