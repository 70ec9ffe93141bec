"""GET /health: whether the program serves. GET /v1/health: whether the engine steps, by its heartbeat."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.api.reply import json_response
from webapp.gate import server

routes = Blueprint("health", __name__)


@routes.get("/health")
def program_health() -> Response:
    """Whether the program serves."""
    reason = "Hearth is stopping: running answers are being finished." if server().draining else None
    return _report("hearth", reason, instance=server().id, sign_in=server().access.needs_sign_in)


@routes.get("/v1/health")
def engine_health() -> Response:
    """Whether the engine steps."""
    health, backend = server().engine.health(), server().backend
    reason = None if health.ok else health.reason or "The engine does not step."
    return _report("mlx_server", reason, device=backend.device, blas=backend.blas)


def _report(app: str, reason: str | None, **more: object) -> Response:
    body = {"status": "unhealthy" if reason else "healthy", "app": app, "version": server().version, **more}
    if reason is None:
        return json_response(body)
    response = json_response(body | {"reason": reason}, 503)
    response.headers["Retry-After"] = "1"
    return response
