"""GET and PUT /api/settings: the settings as JSON; /api/settings/pool has only those of the pool."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from flask import Blueprint, Response

from webapp.api.declaration import Json, takes_object
from webapp.api.openapi import settings_schema
from webapp.api.reply import json_response
from webapp.errors import InvalidFields
from webapp.gate import server, who

POOL = "Pool"

routes = Blueprint("settings", __name__, url_prefix="/api/settings")


@routes.get("")
def show_settings() -> Response:
    """Show every setting with its value, the value's source and its limits."""
    return json_response({"settings": _shown()})


@routes.put("")
@takes_object("Settings", settings_schema, {"max_tokens": 2048})
def save_settings(values: Json) -> Response:
    """Save settings, all or none: one invalid value and none changes."""
    effects = server().administration.settings.save(who(), values)
    return json_response({"settings": _shown(), "effects": effects})


@routes.get("/pool")
def show_pool_settings() -> Response:
    """Show the settings of the pool alone."""
    return json_response({"settings": _shown(POOL)})


@routes.put("/pool")
@takes_object("PoolSettings", partial(settings_schema, POOL), {"memory_limit": 8})
def save_pool_settings(values: Json) -> Response:
    """Save settings of the pool, all or none."""
    if strangers := values.keys() - _shown(POOL).keys():
        raise InvalidFields({name: f"There is no pool setting '{name}'." for name in sorted(strangers)})
    effects = server().administration.settings.save(who(), values)
    return json_response({"settings": _shown(POOL), "effects": effects})


def _shown(section: str | None = None) -> dict[str, dict[str, object]]:
    rows = (asdict(row) for row in server().settings.fields() if section in (None, row.section))
    return {row.pop("name"): row for row in rows}
