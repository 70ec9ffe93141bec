"""/v1/responses: OpenAI's newer API. Hearth stores responses, so that a later request can continue them."""

from __future__ import annotations

import time
from functools import partial

from flask import Blueprint, Response, request

from webapp.api.ask import ask
from webapp.api.current import request_id
from webapp.api.declaration import EMBER, takes, takes_query
from webapp.api.openai.response_items import PAGE_QUERY, page_of, resolved, to_keep
from webapp.api.openai.responses_schema import ResponseBody, items_of
from webapp.api.openai.responses_wire import ResponseWire
from webapp.api.reply import json_response
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
EXAMPLE = {"model": EMBER, "input": "Hello!"}
REPEATED = (
    "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "previous_response_id", "reasoning",
    "temperature", "text", "tool_choice", "tools", "top_p",
)  # fmt: skip

routes = Blueprint("responses", __name__, url_prefix="/v1/responses")


@routes.post("")
@takes(ResponseBody, example=EXAMPLE, refused=REFUSED, harmless=IGNORED, generates=True)
def create_response(body: ResponseBody) -> Response:
    """Answer with items, as one response or as a stream of response events."""
    owner, previous = visitor().name, body.previous_response_id
    body = body.model_copy(update={"input": resolved(body.input, partial(server().responses.items_of, owner))})
    earlier = server().responses.conversation(owner, previous) if previous is not None else []
    asked = body.to_request(request_id(), items_of(earlier))
    keep = None if body.store is False else partial(server().responses.keep, owner, to_keep(body.input, asked.id))

    def wire() -> ResponseWire:
        return ResponseWire(asked.id, asked.model, int(time.time()), repeated(body), keep, body.callees)

    return ask([asked], wire, body.stream)


@routes.get("/<response_id>")
def show_response(response_id: str) -> Response:
    """Show a stored response, as it was first answered."""
    refuse_unsupported(request.args, REFUSED_OF_KEPT)
    return json_response(dict(server().responses.find(visitor().name, response_id)))


@routes.delete("/<response_id>")
def delete_response(response_id: str) -> Response:
    """Delete a stored response and its input."""
    server().responses.delete(visitor().name, response_id)
    return json_response({"id": response_id, "object": "response", "deleted": True})


@routes.get("/<response_id>/input_items")
@takes_query(**PAGE_QUERY)
def list_input_items(response_id: str) -> Response:
    """List the input of a response, with the conversation before it, a page at a time."""
    return json_response(page_of(server().responses.input_of(visitor().name, response_id), request.args))


def repeated(body: ResponseBody) -> dict[str, object]:
    """Return the fields of the request that the response repeats, with defaults for unset ones."""
    asked = body.model_dump(mode="json", by_alias=True, include=set(REPEATED))
    unset = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}}
    return asked | {name: value for name, value in unset.items() if asked[name] is None}
