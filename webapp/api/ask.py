"""From a body to its HTTP answer, the same way for every route that generates."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from flask import Response

from webapp.api.body import read_object
from webapp.api.current import on_disconnect, request_id
from webapp.api.openai.generation_schema import ChatBody, CompletionBody, validate
from webapp.api.openai.generation_wire import ChatWire, CompletionWire, plain, server_sent
from webapp.api.record import record
from webapp.api.strict import Wire
from webapp.api.unsupported import HARMLESS, Refused, ignored_names, refuse_unsupported
from webapp.gate import server, visitor
from webapp.generation import Choice, Event, GenerationRequest, Text
from webapp.providers.side_by_side import collect_all
from webapp.stream import Stream

B = TypeVar("B", bound=Wire)


def answer(
    schema: type[ChatBody | CompletionBody], refused: tuple[Refused, ...], wire_type: type[ChatWire | CompletionWire]
) -> Response:
    """Read, check, generate, write."""
    record().generates = True
    body = read(schema, refused)
    requests = body.to_requests(request_id())
    stream, events = begin(*requests)
    if body.echoes:
        events = chain(echoed(requests), events)
    created = int(time.time())
    wires = [wire_type(request, created, body.include_usage, index) for index, request in enumerate(requests)]
    if body.stream:
        response = event_stream(server_sent(events, wires, body.include_usage), stream)
    else:
        response = json_response(plain(wires, *collect_all(events, len(wires))))
    return tell_ignored(response, body, refused)


def read(schema: type[B], refused: tuple[Refused, ...]) -> B:
    """The body, checked and typed; the record of the request learns the model's name first."""
    raw = read_object()
    record().names(raw.get("model"))
    refuse_unsupported(raw, refused)
    body = validate(raw, schema)
    record().path_of = body.path_of
    return body


def begin(*requests: GenerationRequest) -> tuple[Stream, Iterator[Event]]:
    """Submit what the visitor asks, who owns it from here on.

    The first event is awaited before any response is built, so early failures keep their status. Several requests are
    several answers to one client, told apart as `Choice`s. Whoever leaves closes the stream: the select loop sees it
    go, or the response is closed unread.
    """
    here = record()
    here.trace.asks(*requests)
    router = server().router
    owned = [replace(request, owner=visitor().name) for request in requests]
    stream = router.generate_all(owned) if len(owned) > 1 else router.generate(owned[0])
    on_disconnect(stream.close)
    events = here.follow(stream)
    return stream, chain((next(events),), events)


def echoed(requests: Sequence[GenerationRequest]) -> list[Event]:
    """The prompts as text, as if they were what the answers begin with.

    A list, not a generator: a stream is read without Flask around it, when there is no status left to fail with.
    """
    texts = [_text_of(request) for request in requests]
    return [Choice(index, text) for index, text in enumerate(texts)] if len(texts) > 1 else [*texts]


def _text_of(request: GenerationRequest) -> Text:
    prompt = request.prompt or ""
    return Text(prompt if isinstance(prompt, str) else server().router.detokenize(request.model, prompt))


def event_stream(body: Iterator[bytes], stream: Stream) -> Response:
    response = Response(body, content_type="text/event-stream; charset=utf-8", headers={"X-Accel-Buffering": "no"})
    response.call_on_close(stream.close)
    return response


def tell_ignored(
    response: Response, body: Wire, refused: tuple[Refused, ...], harmless: frozenset[str] = HARMLESS
) -> Response:
    """Name the fields that nobody knows, to the client and in the audit."""
    if ignored := ignored_names(body, refused, harmless):
        record().trace.notes["ignored"] = ignored
        response.headers["x-hearth-ignored"] = ignored
    return response


def json_response(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json")
