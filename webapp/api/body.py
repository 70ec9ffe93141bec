"""Reads a request's body: a JSON object, checked against a schema. Errors name the dotted path of the wrong field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import request
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json
from werkzeug.exceptions import UnsupportedMediaType

from webapp.api.record import record
from webapp.api.strict import UNSUPPORTED, StrictBody, dotted, missing
from webapp.api.unsupported import Refused, refuse_unsupported
from webapp.errors import InvalidRequest, UnsupportedParameter

MAX_DEPTH = 64
# pydantic's messages may repeat the client's value.
LONGEST_REASON = 500

B = TypeVar("B", bound=StrictBody)


def read(schema: type[B], refused: tuple[Refused, ...]) -> B:
    """Return the body, checked and typed. Before the check, note the model's name in the request's record."""
    raw = read_object()
    record().names(raw.get("model"))
    refuse_unsupported(raw, refused)
    body = validate(raw, schema)
    record().path_of = body.path_of
    return body


def read_object() -> dict[str, Any]:
    """Return the body as an object. Only application/json is read: any web page can send a form or plain text."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as application/json.")
    return parse_object(request.get_data(cache=False))


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object, or raise InvalidRequest. Refuses NaN, Infinity, broken Unicode and deep nesting."""
    try:
        parsed = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_type")
    level: list[Any] = [parsed]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return parsed
    raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.", code="invalid_value")


def validate(body: Mapping[str, object], schema: type[B]) -> B:
    """Return `body` as `schema`; raise the first error with the dotted path of its field."""
    try:
        return schema.model_validate({name: value for name, value in body.items() if value is not None})
    except ValidationError as failure:
        details = failure.errors(include_url=False, include_context=False, include_input=False)
    raise _as_invalid_request(details[0])


def _as_invalid_request(detail: ErrorDetails) -> InvalidRequest:
    param, kind = _dotted(detail["loc"]), detail["type"]
    if kind == "missing":
        return missing(param)
    if kind == "extra_forbidden":
        return UnsupportedParameter(f"The parameter '{param}' is not supported.", param)
    if kind == UNSUPPORTED:
        return UnsupportedParameter(detail["msg"], param)
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return InvalidRequest(f"Invalid value for '{param}': {detail['msg'][:LONGEST_REASON]}.", param, code)


def _dotted(location: tuple[int | str, ...]) -> str:
    """Write ("messages", 1, "content", "<list>", 0, "type") as messages[1].content[0].type."""
    return dotted(tuple(step if isinstance(step, int) else step[:64] for step in location if _is_written(step)))


def _is_written(step: int | str) -> bool:
    return isinstance(step, int) or not (step.startswith("<") or step == "[key]")
