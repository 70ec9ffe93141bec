"""The models page: a list of the installed models."""

from __future__ import annotations

from flask import render_template, request

from webapp.engine.snapshot import ModelSnapshot
from webapp.gate import server
from webapp.generation import InstalledModel
from webapp.pages.abilities import About, about
from webapp.pages.profiles import profile_rows, what_happened
from webapp.pages.room import room
from webapp.routing.terms import Target
from webapp.server import Server

blueprint = room("models")


@blueprint.get("/models")
def show() -> str:
    notice = what_happened(request.args)
    return render_template(
        "pages/models.html", rows=model_rows(server()), profiles=profile_rows(server()), notice=notice
    )


def model_rows(server: Server) -> list[tuple[InstalledModel, About, ModelSnapshot | None]]:
    """Return every installed model with its description, and its snapshot if the engine has one."""
    states = {model.id: model for model in server.engine.snapshot.models}
    return [(model, about(Target(model)), states.get(model.id)) for model in server.catalog.models()]
