"""POST /v1/completions: text goes on from a prompt, without a chat template."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.ask import answer
from webapp.api.openai.generation_schema import CompletionBody
from webapp.api.openai.generation_wire import CompletionWire
from webapp.api.unsupported import REFUSED_BY_COMPLETIONS

routes = Blueprint("completions", __name__, url_prefix="/v1")


@routes.post("/completions")
def complete_text() -> Response:
    """Text that goes on from a prompt, without a chat template."""
    return answer(CompletionBody, REFUSED_BY_COMPLETIONS, CompletionWire)
