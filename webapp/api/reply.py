"""Makes HTTP responses: JSON, a stream of server-sent events, and the header that names ignored fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Response

from webapp.api.record import record
from webapp.api.strict import StrictBody
from webapp.api.unsupported import Refused, ignored_names
from webapp.stream import Stream


def json_response(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json")


def event_stream(body: Iterator[bytes], stream: Stream) -> Response:
    response = Response(body, content_type="text/event-stream; charset=utf-8", headers={"X-Accel-Buffering": "no"})
    response.call_on_close(stream.close)
    return response


def tell_ignored(
    response: Response, body: StrictBody, refused: tuple[Refused, ...], harmless: frozenset[str]
) -> Response:
    """Name unknown fields in a header to the client and in the audit."""
    if ignored := ignored_names(body, refused, harmless):
        record().trace.notes["ignored"] = ignored
        response.headers["x-hearth-ignored"] = ignored
    return response
