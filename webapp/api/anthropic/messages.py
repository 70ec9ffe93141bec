"""POST /v1/messages and /v1/messages/count_tokens: for clients of Anthropic's API."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.anthropic.messages_schema import CountBody, MessagesBody
from webapp.api.anthropic.messages_wire import MessageWire
from webapp.api.ask import begin, event_stream, json_response, read, tell_ignored
from webapp.api.current import request_id
from webapp.api.record import record
from webapp.api.unsupported import Refused
from webapp.gate import server

HARMLESS = frozenset(
    {
        "cache_control",
        "diagnostics",
        "inference_geo",
        "metadata",
        "service_tier",
        "speed",
        "user_profile_id",
        "workspace_id",
    }
)
REFUSED = (
    Refused("container"),
    Refused("mcp_servers", ([],)),
)

routes = Blueprint("messages", __name__, url_prefix="/v1/messages")


@routes.post("")
def create_message() -> Response:
    """An answer to a conversation, whole or as message events."""
    record().generates = True
    body = read(MessagesBody, REFUSED)
    request = body.to_request(request_id())
    stream, events = begin(request)
    wire = MessageWire(request.id, request.model, body.shows_thinking)
    response = event_stream(wire.stream(events), stream) if body.stream else json_response(wire.plain(events))
    return tell_ignored(response, body, REFUSED, HARMLESS)


@routes.post("/count_tokens")
def count_tokens() -> Response:
    """How many tokens the prompt of such a message comes to; counted, not estimated."""
    body = read(CountBody, REFUSED)
    prompt = server().router.render(body.to_request(request_id()))
    return tell_ignored(json_response({"input_tokens": len(prompt.tokens)}), body, REFUSED, HARMLESS)
