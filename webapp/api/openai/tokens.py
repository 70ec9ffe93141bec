"""POST /v1/tokenize and /v1/detokenize: text to a model's tokens, and back."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.ask import json_response, read, tell_ignored
from webapp.api.current import request_id
from webapp.api.openai.tokens_schema import DetokenizeBody, TokenizeBody
from webapp.gate import server

routes = Blueprint("tokens", __name__, url_prefix="/v1")


@routes.post("/tokenize")
def tokenize() -> Response:
    """The tokens of a text, or of messages as a chat would begin with them."""
    body = read(TokenizeBody, ()).checked()
    if body.input is None:
        tokens = server().router.render(body.to_request(request_id())).tokens
    else:
        tokens = server().router.tokenize(body.model, body.input, bool(body.add_special_tokens))
    return tell_ignored(json_response({"tokens": tokens, "count": len(tokens)}), body, (), frozenset())


@routes.post("/detokenize")
def detokenize() -> Response:
    """The text of tokens, special ones included. `input` is what /v1/tokenize would take."""
    body = read(DetokenizeBody, ())
    text = server().router.detokenize(body.model, body.tokens)
    return tell_ignored(json_response({"input": text, "text": text}), body, (), frozenset())
