"""GET /metrics: the metrics in Prometheus' text format."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from webapp.gate import server

routes = Blueprint("metrics", __name__)


@routes.get("/metrics")
def show_metrics() -> Response:
    """Show the metrics, always in the plain text format."""
    headers = {"Cache-Control": "no-store"}
    return Response(server().metrics.text(), headers=headers, content_type=CONTENT_TYPE_PLAIN_0_0_4)
