"""The common parts of all pages: blueprints, whole pages or partials, and the layout's values."""

from __future__ import annotations

from flask import Blueprint, Response, request

from webapp.gate import is_inside, server


def wants_partial() -> bool:
    """True if htmx asks for a partial. After "back" htmx, too, needs the whole page."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def room(name: str) -> Blueprint:
    blueprint = Blueprint(name, __name__)
    blueprint.after_request(uncached)
    return blueprint


def surroundings() -> dict[str, object]:
    """Return the layout's values for every page. A visitor who may not see the pages gets only the theme."""
    here = server()
    if not is_inside():
        return {"theme": here.settings.current.theme, "inside": False, "room": ""}
    return {
        "inside": True,
        "theme": here.settings.current.theme,
        "snapshot": here.engine.snapshot,
        "version": here.version,
        "standing": here.notices.standing,
        "room": request.blueprint or "",
    }


def uncached(response: Response) -> Response:
    """Forbid caches to store the response, as it may hold conversations, and tell partials from pages."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.vary.update(["HX-Request", "HX-History-Restore-Request"])
    return response
