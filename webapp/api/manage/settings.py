"""GET and PUT /api/settings: the one settings table as JSON; /api/settings/pool is its section about the pool."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from webapp.api.ask import json_response
from webapp.api.body import read_object
from webapp.gate import server, who
from webapp.settings.layers import InvalidSettings

POOL = "Pool"

routes = Blueprint("settings", __name__, url_prefix="/api/settings")


@routes.get("")
def show_settings() -> Response:
    """Every setting with its value, where that comes from, and its limits."""
    return json_response({"settings": _shown()})


@routes.put("")
def save_settings() -> Response:
    """All of it or nothing: one value that does not fit changes no other."""
    effects = server().administration.save_settings(who(), read_object())
    return json_response({"settings": _shown(), "effects": effects})


@routes.get("/pool")
def show_pool_settings() -> Response:
    """The settings of the pool alone."""
    return json_response({"settings": _shown(POOL)})


@routes.put("/pool")
def save_pool_settings() -> Response:
    """The same for the settings of the pool."""
    values = read_object()
    if strangers := values.keys() - _shown(POOL).keys():
        raise InvalidSettings({name: f"There is no pool setting '{name}'." for name in sorted(strangers)})
    effects = server().administration.save_settings(who(), values)
    return json_response({"settings": _shown(POOL), "effects": effects})


def _shown(section: str | None = None) -> dict[str, dict[str, object]]:
    rows = (asdict(row) for row in server().settings.fields() if section in (None, row.section))
    return {row.pop("name"): row for row in rows}
