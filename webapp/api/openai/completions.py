"""POST /v1/completions: continues a prompt's text without a chat template."""

from __future__ import annotations

import time
from collections.abc import Sequence

from flask import Blueprint, Response

from webapp.api.ask import ask
from webapp.api.current import request_id
from webapp.api.declaration import EMBER, takes
from webapp.api.openai.generation_schema import CompletionBody
from webapp.api.openai.generation_wire import CompletionWire
from webapp.api.unsupported import Refused
from webapp.gate import server
from webapp.generation import Choice, Event, GenerationRequest, Text

REFUSED = (
    Refused("best_of", (1,)),
    Refused("suffix", ("",)),
)
EXAMPLE = {"model": EMBER, "prompt": "The fire in the", "max_tokens": 32}

routes = Blueprint("completions", __name__, url_prefix="/v1")


@routes.post("/completions")
@takes(CompletionBody, example=EXAMPLE, refused=REFUSED, generates=True)
def complete_text(body: CompletionBody) -> Response:
    """Continue the text of a prompt, without a chat template."""
    requests = body.to_requests(request_id())

    def wire() -> CompletionWire:
        echoed = _echoed(requests) if body.echo else ()
        return CompletionWire(requests, int(time.time()), body.include_usage, echoed)

    return ask(requests, wire, body.stream)


def _echoed(requests: Sequence[GenerationRequest]) -> list[Event]:
    """Return the prompts as text events, for the answers to begin with.

    A list, not a generator: an error must come before the response starts, while it can still have a status.
    """
    texts = [_text_of(request) for request in requests]
    return [Choice(index, text) for index, text in enumerate(texts)] if len(texts) > 1 else [*texts]


def _text_of(request: GenerationRequest) -> Text:
    prompt = request.prompt or ""
    return Text(prompt if isinstance(prompt, str) else server().router.detokenize(request.model, prompt))
