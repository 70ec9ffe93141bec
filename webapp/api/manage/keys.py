"""/api/keys: API keys. The secret of one is in the answer that makes it, and nowhere else."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.ask import json_response
from webapp.api.body import read_object
from webapp.gate import server, who

routes = Blueprint("keys", __name__, url_prefix="/api/keys")


@routes.get("")
def list_keys() -> Response:
    """Every key without its secret, also those that are over."""
    return json_response({"keys": [key.shown() for key in server().keys.current]})


@routes.post("")
def create_key() -> Response:
    """A new key; its secret is in this answer alone."""
    key, secret = server().administration.keys.create(who(), read_object())
    return json_response(key.shown() | {"secret": secret}, 201)


@routes.delete("/<name>")
def revoke_key(name: str) -> Response:
    """Nobody is let in with it any more."""
    return json_response({"revoked": server().administration.keys.revoke(who(), name).name})
