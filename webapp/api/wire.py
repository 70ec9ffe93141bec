"""What every dialect's wire is: events of a request go in, bytes of a stream or one JSON body come out.

Knows no Flask and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from webapp.generation import Event, Prefill

# json.dumps would make such an encoder for every message.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Wire(Protocol):
    """Writes the events of one request as its client expects them. It is used once, in one of the two ways."""

    def stream(self, events: Iterator[Event]) -> Iterator[bytes]:
        """The whole body of a streamed reply. A HearthError is its last message, which nothing follows."""

    def plain(self, events: Iterator[Event]) -> dict[str, Any]:
        """The whole answer, folded from the same events. Raises the HearthError that ended it."""


def server_sent(body: Mapping[str, Any], event: str | None = None) -> bytes:
    """One message of a stream, with a name where the dialect names its events."""
    name = "" if event is None else f"event: {event}\n"
    return f"{name}data: {_to_json(body)}\n\n".encode()


def sign_of_life(event: Prefill) -> bytes:
    """A comment: it keeps the connection alive, and clients skip it."""
    return f": prefill {event.done_tokens}/{event.total_tokens}\n\n".encode()
