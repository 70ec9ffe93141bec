"""Reads the current request's id and watches its client, by what guards and web server put into its environment."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from flask import request


def request_id() -> str:
    """Return the id that the guards gave this request, or a fresh one when they did not run."""
    return str(request.environ.setdefault("hearth.request_id", uuid.uuid4().hex))


def on_disconnect(callback: Callable[[], None]) -> None:
    """Run `callback` once when this request's client goes away. Without waitress it never runs."""
    watch: Callable[[Callable[[], None]], None] | None = request.environ.get("hearth.on_disconnect")
    if watch is not None:
        watch(callback)
