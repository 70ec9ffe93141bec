"""POST /v1/chat/completions."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.ask import answer
from webapp.api.openai.generation_schema import ChatBody
from webapp.api.openai.generation_wire import ChatWire
from webapp.api.unsupported import REFUSED_BY_CHAT

routes = Blueprint("chat", __name__, url_prefix="/v1")


@routes.post("/chat/completions")
def complete_chat() -> Response:
    """An answer to a conversation, plain or streamed."""
    return answer(ChatBody, REFUSED_BY_CHAT, ChatWire)
