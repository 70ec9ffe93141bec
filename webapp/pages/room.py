"""What every room of the pages shares: its routes, whether a whole page or a part is asked for, what surrounds it."""

from __future__ import annotations

from flask import Blueprint, Response, request

from webapp.gate import is_inside, server


def wants_partial() -> bool:
    """htmx asks for a part; a browser going back asks for the whole page, also through htmx."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def room(name: str) -> Blueprint:
    blueprint = Blueprint(name, __name__)
    blueprint.after_request(uncached)
    return blueprint


def surroundings() -> dict[str, object]:
    """What the layout shows on every page; nothing of what Hearth does to those who are kept out of its pages."""
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
    """Conversations are nobody else's: no cache keeps them, and parts are never mistaken for pages."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.vary.update(["HX-Request", "HX-History-Restore-Request"])
    return response
