"""GET /api/pool: what the engine last published about itself."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from webapp.api.reply import json_response
from webapp.gate import server

routes = Blueprint("pool", __name__, url_prefix="/api/pool")


@routes.get("")
def show_pool() -> Response:
    """Show the loaded models and the running and waiting requests."""
    snapshot = asdict(server().engine.snapshot)
    del snapshot["speeds"]  # for the chart of the page
    return json_response(snapshot)
