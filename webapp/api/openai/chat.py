"""POST /v1/chat/completions."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from webapp.api.ask import ask
from webapp.api.current import request_id
from webapp.api.declaration import HELLO, takes
from webapp.api.openai.generation_schema import ChatBody
from webapp.api.openai.generation_wire import ChatWire
from webapp.api.unsupported import Refused

REFUSED = (
    Refused("audio"),
    Refused("chat_template"),
    Refused("function_call", ("none", "auto")),
    Refused("functions", ([],)),
    Refused("modalities", (["text"],)),
    Refused("moderation"),
    Refused("prediction"),
    Refused("verbosity", ("medium",)),
    Refused("web_search_options"),
)

routes = Blueprint("chat", __name__, url_prefix="/v1")


@routes.post("/chat/completions")
@takes(ChatBody, example=HELLO, refused=REFUSED, generates=True)
def complete_chat(body: ChatBody) -> Response:
    """Answer a conversation, whole or streamed."""
    requests = body.to_requests(request_id())
    return ask(requests, lambda: ChatWire(requests, int(time.time()), body.include_usage), body.stream)
