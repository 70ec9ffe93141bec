"""POST /v1/messages and /v1/messages/count_tokens: for clients of Anthropic's API."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.anthropic.messages_schema import CountBody, MessagesBody
from webapp.api.anthropic.messages_wire import MessageWire
from webapp.api.ask import ask
from webapp.api.current import request_id
from webapp.api.declaration import HELLO, takes
from webapp.api.reply import json_response
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
@takes(MessagesBody, example=HELLO | {"max_tokens": 256}, refused=REFUSED, harmless=HARMLESS, generates=True)
def create_message(body: MessagesBody) -> Response:
    """Answer a conversation, as one message or as a stream of message events."""
    request = body.to_request(request_id())
    return ask([request], lambda: MessageWire(request.id, request.model, body.shows_thinking), body.stream)


@routes.post("/count_tokens")
@takes(CountBody, example=HELLO, refused=REFUSED, harmless=HARMLESS)
def count_tokens(body: CountBody) -> Response:
    """Count the tokens of the prompt that this body would make, exactly."""
    return json_response({"input_tokens": server().router.count_tokens(body.to_request(request_id()))})
