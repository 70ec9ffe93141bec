"""POST /v1/chat/completions."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.answer import answer
from webapp.api.parameters import REFUSED_BY_CHAT
from webapp.api.schema import ChatBody
from webapp.api.wire import ChatWire

routes = Blueprint("chat", __name__, url_prefix="/v1")


@routes.post("/chat/completions")
def complete_chat() -> Response:
    """An answer to a conversation, plain or streamed."""
    return answer(ChatBody, REFUSED_BY_CHAT, ChatWire)
