"""/api/models: lists the installed models, and loads and unloads them by hand."""

from __future__ import annotations

from concurrent.futures import Future

from flask import Blueprint, Response

from webapp.api.declaration import EMBER, Json, takes_object
from webapp.api.reply import json_response
from webapp.errors import InvalidRequest, TimedOut
from webapp.gate import server, who

EXAMPLE = {"model": EMBER}

routes = Blueprint("installed", __name__, url_prefix="/api/models")


def model_name_schema() -> Json:
    return {"type": "object", "required": ["model"], "properties": {"model": {"type": "string"}}}


@routes.get("")
def list_installed() -> Response:
    """List the installed models."""
    known = {model.id: model for model in server().engine.snapshot.models}
    pinned = server().settings.current.pinned
    rows = [
        {
            "id": model.id,
            "state": known[model.id].state if model.id in known else "ready",
            "reason": known[model.id].reason if model.id in known else None,
            "pinned": model.id in pinned,
            "bundled": model.bundled,
            "size_bytes": model.weights_bytes,
            "context_length": model.context_length,
            "architecture": model.architecture,
            "path": str(model.path),
        }
        for model in server().catalog.models()
    ]
    return json_response({"models": rows})


@routes.post("/load")
@takes_object("ModelName", model_name_schema, EXAMPLE)
def load_model(values: Json) -> Response:
    """Load a model; answers when it is loaded, or with the error that prevents it."""
    model_id = _named(values)
    _wait(server().administration.models.load(who(), model_id), model_id)
    return json_response({"id": model_id, "state": "loaded"})


@routes.post("/unload")
@takes_object("ModelName", model_name_schema, EXAMPLE)
def unload_model(values: Json) -> Response:
    """Unload a model once its requests have ended."""
    model_id = _named(values)
    effect = server().administration.models.unload(who(), model_id)
    state = next((model.state for model in server().engine.snapshot.models if model.id == model_id), "ready")
    return json_response({"id": model_id, "state": state, "effects": [effect]})


def _named(values: Json) -> str:
    model_id = values.get("model")
    if not isinstance(model_id, str) or not model_id:
        raise InvalidRequest("'model' must be the id of an installed model.", "model")
    return model_id


def _wait(done: Future[None], model_id: str) -> None:
    seconds = server().settings.current.queue_seconds or None
    try:
        done.result(seconds)
    except TimeoutError as error:
        raise TimedOut(f"'{model_id}' is not loaded yet, for want of room; it will be as soon as there is.") from error
