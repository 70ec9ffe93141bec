"""/v1/responses: OpenAI's newer way of asking. Responses are kept, so that a later request goes on from them."""

from __future__ import annotations

import time
from functools import partial

from flask import Blueprint, Response, request

from webapp.api.ask import begin, event_stream, json_response, read, tell_ignored
from webapp.api.current import request_id
from webapp.api.openai.response_items import page_of, resolved, to_keep
from webapp.api.openai.responses_schema import ResponseBody, items_of
from webapp.api.openai.responses_wire import ResponseWire
from webapp.api.record import record
from webapp.api.unsupported import HARMLESS, Refused, refuse_unsupported
from webapp.gate import server, visitor

REFUSED = (
    Refused("access_programs"),
    Refused("background", (False,)),
    Refused("context_management", ([],)),
    Refused("conversation"),
    Refused("image"),
    Refused("include", ([], ["reasoning.encrypted_content"])),
    Refused("max_tool_calls"),
    Refused("moderation"),
    Refused("prompt"),
    Refused("top_logprobs", (0,)),
    Refused("truncation", ("disabled",)),
)
REFUSED_OF_KEPT = (Refused("stream", ("false",)), Refused("starting_after"))
IGNORED = HARMLESS - {"store"} | {"background_options", "stream_options"}
REPEATED = (
    "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "previous_response_id", "reasoning",
    "temperature", "text", "tool_choice", "tools", "top_p",
)  # fmt: skip

routes = Blueprint("responses", __name__, url_prefix="/v1/responses")


@routes.post("")
def create_response() -> Response:
    """An answer as items, whole or as response events."""
    record().generates = True
    body = read(ResponseBody, REFUSED)
    owner, previous = visitor().name, body.previous_response_id
    body = body.model_copy(update={"input": resolved(body.input, partial(server().responses.items_of, owner))})
    earlier = server().responses.conversation(owner, previous) if previous is not None else []
    asked = body.to_request(request_id(), items_of(earlier))
    stream, events = begin(asked)
    keep = None if body.store is False else partial(server().responses.keep, owner, to_keep(body.input, asked.id))
    wire = ResponseWire(asked.id, asked.model, int(time.time()), repeated(body), keep, body.callees)
    response = event_stream(wire.stream(events), stream) if body.stream else json_response(wire.plain(events))
    return tell_ignored(response, body, REFUSED, IGNORED)


@routes.get("/<response_id>")
def show_response(response_id: str) -> Response:
    """A response that was kept, as it was answered."""
    refuse_unsupported(request.args, REFUSED_OF_KEPT)
    return json_response(dict(server().responses.find(visitor().name, response_id)))


@routes.delete("/<response_id>")
def delete_response(response_id: str) -> Response:
    """Forget a response and what was asked for it."""
    server().responses.delete(visitor().name, response_id)
    return json_response({"id": response_id, "object": "response", "deleted": True})


@routes.get("/<response_id>/input_items")
def list_input_items(response_id: str) -> Response:
    """What a response was made of, the conversation before included, a page at a time."""
    return json_response(page_of(server().responses.input_of(visitor().name, response_id), request.args))


def repeated(body: ResponseBody) -> dict[str, object]:
    """What was asked, as clients expect to find it in the response."""
    asked = body.model_dump(mode="json", by_alias=True, include=set(REPEATED))
    unset = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}}
    return asked | {name: value for name, value in unset.items() if asked[name] is None}
