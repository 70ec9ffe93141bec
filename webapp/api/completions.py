"""POST /v1/completions: text goes on from a prompt, without a chat template."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.answer import answer
from webapp.api.parameters import REFUSED_BY_COMPLETIONS
from webapp.api.schema import CompletionBody
from webapp.api.wire import CompletionWire

routes = Blueprint("completions", __name__, url_prefix="/v1")


@routes.post("/completions")
def complete_text() -> Response:
    """Text that goes on from a prompt, without a chat template."""
    return answer(CompletionBody, REFUSED_BY_COMPLETIONS, CompletionWire)
