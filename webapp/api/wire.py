"""The protocol of every dialect's wire: it turns a request's events into the bytes of a stream or one JSON body.

Knows no Flask and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from webapp.generation import Event, Prefill

# With these options json.dumps would make a new encoder for every message.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Wire(Protocol):
    """Writes the events of one request as its client expects them. It is used once, in one of the two ways."""

    def stream(self, events: Iterator[Event]) -> Iterator[bytes]:
        """Yield the whole body of a streamed reply. A HearthError becomes the last message."""

    def plain(self, events: Iterator[Event]) -> dict[str, Any]:
        """Return the whole answer, put together from the same events. Raises the HearthError that ended it."""


def server_sent(body: Mapping[str, Any], event: str | None = None) -> bytes:
    """Return one server-sent event as bytes, with an event name if the dialect uses them."""
    name = "" if event is None else f"event: {event}\n"
    return f"{name}data: {_to_json(body)}\n\n".encode()


def sign_of_life(event: Prefill) -> bytes:
    """Return a comment, which keeps the connection alive and which clients skip."""
    return f": prefill {event.done_tokens}/{event.total_tokens}\n\n".encode()
