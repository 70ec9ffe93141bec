"""POST /v1/responses: OpenAI's newer way of asking. Nothing is kept: there is no response to go back to."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from webapp.api.answer import begin, event_stream, json_response, read, tell_ignored
from webapp.api.current import request_id
from webapp.api.log import record
from webapp.api.parameters import HARMLESS, Refused
from webapp.api.responses_schema import ResponseBody
from webapp.api.responses_wire import ResponseWire

REFUSED = (
    Refused("access_programs"),
    Refused("background", (False,)),
    Refused("context_management", ([],)),
    Refused("conversation"),
    Refused("image"),
    Refused("include", ([], ["reasoning.encrypted_content"])),
    Refused("max_tool_calls"),
    Refused("moderation"),
    Refused("previous_response_id"),
    Refused("prompt"),
    Refused("top_logprobs", (0,)),
    Refused("truncation", ("disabled",)),
)
IGNORED = HARMLESS | {"background_options", "stream_options"}
REPEATED = (
    "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning", "temperature", "text",
    "tool_choice", "tools", "top_p",
)  # fmt: skip

routes = Blueprint("responses", __name__, url_prefix="/v1")


@routes.post("/responses")
def create_response() -> Response:
    """An answer as items, whole or as response events."""
    record().generates = True
    body = read(ResponseBody, REFUSED)
    request = body.to_request(request_id())
    stream, events = begin(request)
    wire = ResponseWire(request.id, request.model, int(time.time()), repeated(body))
    response = event_stream(wire.stream(events), stream) if body.stream else json_response(wire.plain(events))
    return tell_ignored(response, body, REFUSED, IGNORED)


def repeated(body: ResponseBody) -> dict[str, object]:
    """What was asked, as clients expect to find it in the response."""
    asked = body.model_dump(mode="json", by_alias=True, include=set(REPEATED))
    unset = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}}
    return asked | {name: value for name, value in unset.items() if asked[name] is None}
