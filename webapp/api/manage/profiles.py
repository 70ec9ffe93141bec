"""/api/profiles: public names with a model and defaults of their own."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from webapp.api.declaration import EMBER, Json, takes_object
from webapp.api.openapi import profile_schema
from webapp.api.reply import json_response
from webapp.errors import ProfileNotFound
from webapp.gate import server, who
from webapp.routing.profiles import TABLE, Profile

EXAMPLE = {"name": "brief", "model": EMBER, "system_prompt": "Be brief."}

routes = Blueprint("profiles", __name__, url_prefix="/api/profiles")


@routes.get("")
def list_profiles() -> Response:
    """List every profile."""
    return json_response({"profiles": [_to_wire(profile) for profile in server().profiles.current.values()]})


@routes.post("")
@takes_object("Profile", partial(profile_schema, "name", "model"), EXAMPLE)
def create_profile(values: Json) -> Response:
    """Create a profile."""
    return json_response(_to_wire(server().administration.profiles.create(who(), values)), 201)


@routes.get("/<path:name>")
def show_profile(name: str) -> Response:
    """Show one profile."""
    profile = server().profiles.find(name)
    if profile is None:
        raise ProfileNotFound(name)
    return json_response(_to_wire(profile))


@routes.put("/<path:name>")
@takes_object("ProfileValues", partial(profile_schema, "model"))
def replace_profile(values: Json, name: str) -> Response:
    """Replace a profile as a whole: a field that the body leaves out is unset."""
    return json_response(_to_wire(server().administration.profiles.replace(who(), name, values)))


@routes.delete("/<path:name>")
def delete_profile(name: str) -> Response:
    """Delete a profile; its model stays."""
    return json_response({"deleted": server().administration.profiles.delete(who(), name).name})


def _to_wire(profile: Profile) -> dict[str, object]:
    return {name: getattr(profile, name) for name in TABLE}
