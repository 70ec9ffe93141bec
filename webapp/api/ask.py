"""From requests to an HTTP answer: the one way of every route that generates, whatever its dialect."""

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
    """Generate for the visitor, who owns the requests from here on, and write what comes with the wire.

    The first event is awaited before wire and response are made, so early failures keep their status. Several requests
    are several answers to one client, told apart as `Choice`s.
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
    """Its events, which the record of the request follows.

    Whoever leaves closes the stream: the select loop sees it go, or the response is closed unread.
    """
    on_disconnect(stream.close)
    return record().follow(stream)
