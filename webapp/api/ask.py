"""Turns requests into an HTTP answer; every route that generates goes through here, whatever its dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from flask import Response

from webapp.api.current import on_disconnect
from webapp.api.record import record
from webapp.api.reply import event_stream, json_response
from webapp.api.wire import Wire
from webapp.gate import server, visitor
from webapp.generation import Event, GenerationRequest
from webapp.stream import Stream


def ask(requests: Sequence[GenerationRequest], make_wire: Callable[[], Wire], streams: bool | None) -> Response:
    """Generate for the visitor, who becomes the requests' owner, and answer with what the wire makes of the events.

    Waits for the first event before it makes the wire and the response, so early failures keep their status. Several
    requests are several answers to one client; their events come as `Choice`s.
    """
    record().trace.asks(*requests)
    owned = [replace(request, owner=visitor().name) for request in requests]
    router = server().router
    stream = router.generate_all(owned) if len(owned) > 1 else router.generate(owned[0])
    events = follow(stream)
    events = chain((next(events),), events)
    wire = make_wire()
    return event_stream(wire.stream(events), stream) if streams else json_response(wire.plain(events))


def follow(stream: Stream) -> Iterator[Event]:
    """Return the stream's events and let the request's record see them as they pass.

    A client that leaves closes the stream: the select loop notices, or the response is closed unread.
    """
    on_disconnect(stream.close)
    return record().follow(stream)
