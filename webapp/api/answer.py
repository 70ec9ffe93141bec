"""From a body to its HTTP answer, the same way for every route that generates."""

from __future__ import annotations

import json
import time
from itertools import chain
from typing import Any

from flask import Response

from webapp.api.body import read_object
from webapp.api.current import on_disconnect, request_id, server
from webapp.api.log import RequestRecord, record
from webapp.api.parameters import Refused, ignored_names, refuse_unsupported
from webapp.api.schema import ChatBody, CompletionBody, validate
from webapp.api.wire import ChatWire, CompletionWire, Wire, server_sent
from webapp.generation import GenerationRequest
from webapp.stream import collect


def answer(
    schema: type[ChatBody | CompletionBody], refused: tuple[Refused, ...], wire_type: type[ChatWire | CompletionWire]
) -> Response:
    """Read, check, generate, write."""
    here = record()
    here.generates = True
    raw = read_object()
    here.names(raw.get("model"))
    refuse_unsupported(raw, refused)
    body = validate(raw, schema)
    request = body.to_request(request_id())
    here.trace.asks(request)
    wire = wire_type(request, int(time.time()), body.include_usage)
    response = _generate(request, wire, here, bool(body.stream), body.include_usage)
    if ignored := ignored_names(body, refused):
        here.trace.notes["ignored"] = ignored
        response.headers["x-hearth-ignored"] = ignored
    return response


def _generate(
    request: GenerationRequest, wire: Wire, here: RequestRecord, streamed: bool, include_usage: bool
) -> Response:
    """The first event is awaited before the response is built, so early failures keep their status.

    Whoever leaves closes the stream: the select loop sees it go, or the response is closed unread.
    """
    stream = server().router.generate(request)
    on_disconnect(stream.close)
    events = here.follow(stream)
    events = chain((next(events),), events)
    if not streamed:
        return json_response(wire.plain(collect(events)))
    body = server_sent(events, wire, include_usage)
    response = Response(body, content_type="text/event-stream; charset=utf-8", headers={"X-Accel-Buffering": "no"})
    response.call_on_close(stream.close)
    return response


def json_response(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json")
