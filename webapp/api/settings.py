"""GET and PUT /api/settings: the one settings table as JSON."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from webapp.api.answer import json_response
from webapp.api.body import read_object
from webapp.api.current import server

routes = Blueprint("settings", __name__, url_prefix="/api/settings")


@routes.get("")
def show_settings() -> Response:
    return json_response({"settings": _all_settings()})


@routes.put("")
def save_settings() -> Response:
    """All of it or nothing: one value that does not fit changes no other."""
    effects = server().settings.save(read_object())
    return json_response({"settings": _all_settings(), "effects": effects})


def _all_settings() -> dict[str, dict[str, object]]:
    rows = (asdict(field) for field in server().settings.fields())
    return {row.pop("name"): row for row in rows}
