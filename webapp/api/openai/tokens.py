"""POST /v1/tokenize and /v1/detokenize: text to a model's tokens, and back."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.current import request_id
from webapp.api.declaration import EMBER, takes
from webapp.api.openai.tokens_schema import DetokenizeBody, TokenizeBody
from webapp.api.reply import json_response
from webapp.gate import server

routes = Blueprint("tokens", __name__, url_prefix="/v1")


@routes.post("/tokenize")
@takes(TokenizeBody, example={"model": EMBER, "input": "a warm fire"}, harmless=frozenset())
def tokenize(body: TokenizeBody) -> Response:
    """Return the tokens of a text, or of messages as the chat template renders them."""
    body.check()
    if body.input is None:
        tokens = server().router.render(body.to_request(request_id()))
    else:
        tokens = server().router.tokenize(body.model, body.input, bool(body.add_special_tokens))
    return json_response({"tokens": tokens, "count": len(tokens)})


@routes.post("/detokenize")
@takes(DetokenizeBody, example={"model": EMBER, "tokens": [5, 6, 7]}, harmless=frozenset())
def detokenize(body: DetokenizeBody) -> Response:
    """Return the text of tokens, special ones included. The answer's `input` fits /v1/tokenize."""
    text = server().router.detokenize(body.model, body.tokens)
    return json_response({"input": text, "text": text})
