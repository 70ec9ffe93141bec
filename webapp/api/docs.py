"""GET /v1/openapi.json, and GET /v1/docs, which shows the same to people as the API's only HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template

from webapp.api.declaration import Json, gives
from webapp.api.openapi import document, routes_of
from webapp.api.reply import json_response
from webapp.gate import own_address, server

ROOMS = {"v1": "For any client", "api": "For whoever manages Hearth", "health": "Health"}

routes = Blueprint("docs", __name__, url_prefix="/v1")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a body, or one parameter of an address."""

    name: str
    values: str
    required: bool
    help: str


@dataclass(frozen=True, slots=True)
class Entry:
    method: str
    path: str
    summary: str
    fields: tuple[Parameter, ...]
    example: str


@routes.get("/openapi.json")
def show_openapi() -> Response:
    """This description of the API."""
    return json_response(_document())


@routes.get("/docs")
@gives("text/html")
def show_docs() -> Response:
    """This description of the API as a page."""
    known = _document()
    rooms: dict[str, list[Entry]] = {title: [] for title in ROOMS.values()}
    for path, operations in known["paths"].items():
        for method, operation in operations.items():
            rooms[ROOMS[operation["tags"][0]]].append(_entry(path, method, operation, known))
    return make_response(render_template("pages/api.html", rooms=rooms))


def _document() -> Json:
    return document(server().version, routes_of(current_app))


def _entry(path: str, method: str, operation: Json, known: Json) -> Entry:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    fields = [
        Parameter(parameter["name"], values_of(parameter["schema"]), parameter["required"], "")
        for parameter in operation.get("parameters", ())
    ]
    if body:
        fields += _fields(resolved(body["schema"], known))
    example = curl(method, path, body.get("example")) if body and "example" in body else ""
    return Entry(method.upper(), path, operation["summary"], tuple(fields), example)


def _fields(schema: Json) -> Iterator[Parameter]:
    required = schema.get("required", ())
    for name, values in schema["properties"].items():
        help = values.get("description") or next(
            (one["description"] for one in values.get("anyOf", ()) if "description" in one), ""
        )
        yield Parameter(name, values_of(values), name in required, help)


def resolved(schema: Json, known: Json) -> Json:
    found: Json = known["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def values_of(schema: Json) -> str:
    """Return what a field takes, in a few words. Leaves out that null unsets it."""
    if "$ref" in schema:
        return "object"
    choices = [one for one in schema.get("anyOf") or schema.get("oneOf", ()) if one.get("type") != "null"]
    if choices:
        return ", or ".join(dict.fromkeys(values_of(one) for one in choices))
    if "enum" in schema or "const" in schema:
        return " · ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {values_of(schema.get('items', {}))}{_limits(schema, 'Items')}"
    return f"{kind}{_limits(schema, 'Length')}"


def _limits(schema: Json, of: str) -> str:
    low = _bound(schema, "minimum", "above") or schema.get(f"min{of}")
    high = _bound(schema, "maximum", "below") or schema.get(f"max{of}")
    if low is None and high is None:
        return ""
    unit = {"Items": " items", "Length": " characters"}[of] if f"min{of}" in schema or f"max{of}" in schema else ""
    words = f"{low} to {high}" if low is not None and high is not None else f"{low} and up"
    return f", {words if low is not None else f'up to {high}'}{unit}"


def _bound(schema: Json, name: str, strictly: str) -> str | None:
    if name in schema:
        return f"{schema[name]:,}"
    strict = schema.get(f"exclusive{name.capitalize()}")
    return None if strict is None else f"{strictly} {strict:,}"


def curl(method: str, path: str, example: Any) -> str:
    """Return a command to paste, with the host that the page's own address has."""
    told = json.dumps(example, ensure_ascii=False)
    verb = "" if method == "post" else f" -X {method.upper()}"
    return f"curl{verb} {own_address()}{path} \\\n  -H 'Content-Type: application/json' \\\n  -d '{told}'"
