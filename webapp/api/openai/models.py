"""GET /v1/models and /v1/models/{id}: profiles and models, in OpenAI's and Anthropic's shape at once."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from webapp.api.record import record
from webapp.api.reply import json_response
from webapp.gate import server, visitor
from webapp.routing.terms import Target

routes = Blueprint("models", __name__, url_prefix="/v1/models")


@routes.get("")
def list_models() -> Response:
    """List every target that answers: profiles first, then installed models."""
    states = _states()
    shown = [target for target in server().router.targets() if visitor().may_use(target.name)]
    ids = [target.name for target in shown]
    page = {"has_more": False, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return json_response({"object": "list", "data": [_to_wire(target, states) for target in shown], **page})


@routes.get("/<path:model_id>")
def show_model(model_id: str) -> Response:
    """Show one profile or model. Ids may contain slashes."""
    record().names(model_id)
    return json_response(_to_wire(server().router.resolve(model_id), _states()))


def _states() -> dict[str, str]:
    return {model.id: model.state for model in server().engine.snapshot.models}


def _to_wire(target: Target, states: dict[str, str]) -> dict[str, object]:
    model, profile = target.model, target.profile
    wire: dict[str, object] = {
        "id": target.name,
        "object": "model",
        "created": model.created,
        "type": "model",
        "display_name": target.name,
        "created_at": _as_date(model.created),
        "owned_by": model.id.partition("/")[0] if "/" in model.id else "hearth",
        "context_length": target.context_length,
        "max_output_tokens": target.context_length,
        "state": states.get(model.id, "ready"),
    }
    if profile is None:
        return wire
    longest = min(profile.max_tokens or target.context_length, target.context_length)
    created = {"created": profile.created, "created_at": _as_date(profile.created)}
    own = {**created, "owned_by": "profile", "max_output_tokens": longest, "profile_of": model.id}
    return wire | own


def _as_date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
