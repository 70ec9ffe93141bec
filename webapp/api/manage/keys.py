"""/api/keys: API keys. Only the answer that creates a key shows its secret."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.declaration import EMBER, Json, takes_object
from webapp.api.openapi import key_schema
from webapp.api.reply import json_response
from webapp.gate import server, who

EXAMPLE = {"name": "agent", "scope": "inference", "expires": 86_400, "models": [EMBER]}

routes = Blueprint("keys", __name__, url_prefix="/api/keys")


@routes.get("")
def list_keys() -> Response:
    """List every key without its secret, also expired ones."""
    return json_response({"keys": [key.shown() for key in server().keys.current]})


@routes.post("")
@takes_object("Key", key_schema, EXAMPLE)
def create_key(values: Json) -> Response:
    """Create a key; only this answer shows its secret."""
    key, secret = server().administration.keys.create(who(), values)
    return json_response(key.shown() | {"secret": secret}, 201)


@routes.delete("/<name>")
def revoke_key(name: str) -> Response:
    """Revoke a key; it admits nobody from then on."""
    return json_response({"revoked": server().administration.keys.revoke(who(), name).name})
