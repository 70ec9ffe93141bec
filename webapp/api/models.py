"""GET /v1/models and /v1/models/{id}: what is installed, in OpenAI's shape and a little more."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.answer import json_response
from webapp.api.current import server
from webapp.generation import InstalledModel

routes = Blueprint("models", __name__, url_prefix="/v1/models")


@routes.get("")
def list_models() -> Response:
    states = _states()
    return json_response({"object": "list", "data": [_to_wire(model, states) for model in server().catalog.models()]})


@routes.get("/<path:model_id>")
def show_model(model_id: str) -> Response:
    return json_response(_to_wire(server().catalog.find(model_id), _states()))


def _states() -> dict[str, str]:
    return {model.id: model.state for model in server().engine.snapshot.models}


def _to_wire(model: InstalledModel, states: dict[str, str]) -> dict[str, object]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.id.partition("/")[0] if "/" in model.id else "hearth",
        "context_length": model.context_length,
        "max_output_tokens": model.context_length,
        "state": states.get(model.id, "ready"),
    }
