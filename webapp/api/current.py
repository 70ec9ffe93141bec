"""The request at hand and the server it reached. The only place of `api` that reads Flask's globals for them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from flask import current_app, request

from webapp.gate import visitor

if TYPE_CHECKING:
    from webapp.server import Server


# Whom the audit names for an act by a program without a key.
API = "api"


def server() -> Server:
    return cast("Server", current_app.extensions["server"])


def who() -> str:
    """Whom the audit names for an act of administration."""
    return visitor().name or API


def request_id() -> str:
    """The id that the guards gave this request; outside of them a fresh one."""
    return str(request.environ.setdefault("hearth.request_id", uuid.uuid4().hex))


def on_disconnect(callback: Callable[[], None]) -> None:
    """Run `callback` once when this request's client goes away. Without waitress nobody watches."""
    watch: Callable[[Callable[[], None]], None] | None = request.environ.get("hearth.on_disconnect")
    if watch is not None:
        watch(callback)
