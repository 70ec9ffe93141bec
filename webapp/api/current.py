"""The request at hand, as the guards and the web server describe it in its environment."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from flask import request


def request_id() -> str:
    """The id that the guards gave this request; outside of them a fresh one."""
    return str(request.environ.setdefault("hearth.request_id", uuid.uuid4().hex))


def on_disconnect(callback: Callable[[], None]) -> None:
    """Run `callback` once when this request's client goes away. Without waitress nobody watches."""
    watch: Callable[[Callable[[], None]], None] | None = request.environ.get("hearth.on_disconnect")
    if watch is not None:
        watch(callback)
