"""A JSON object out of a request's body, whatever the route."""

from __future__ import annotations

from typing import Any

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from webapp.api.openai.generation_schema import parse_object


def read_object() -> dict[str, Any]:
    """Only application/json: a form or plain text could come from any page without asking."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as application/json.")
    return parse_object(request.get_data(cache=False))
