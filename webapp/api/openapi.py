"""The OpenAPI description of /v1 and /api, made from the application's routes and the declarations at their views.

Summaries are the first lines of the views' docstrings. This module knows nothing of the running server.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import Flask
from pydantic.json_schema import models_json_schema

from webapp.api.declaration import JSON_TYPE, Declaration, Json, ObjectBody, declaration_of
from webapp.dialects import speaks_anthropic, wants_json
from webapp.people.keys import key_fields
from webapp.routing.profiles import TABLE
from webapp.settings.field import Field
from webapp.settings.table import table

VERSION = "3.1.0"
REFERENCE = "#/components/schemas/{model}"
ERRORS: Mapping[str, Json] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"], "description": "Dotted path of the field at fault."},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    },
    "AnthropicError": {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
            },
            "request_id": {"type": "string"},
        },
    },
}


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, as the application knows it. `arguments` are the names in the path."""

    path: str
    method: str
    endpoint: str
    summary: str
    arguments: tuple[str, ...]
    declaration: Declaration


def routes_of(app: Flask) -> tuple[Route, ...]:
    """Return every route that answers JSON, in the order of registration."""
    return tuple(
        Route(
            path=re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule),
            method=method.lower(),
            endpoint=rule.endpoint.removeprefix("api."),
            summary=(app.view_functions[rule.endpoint].__doc__ or "").strip().partition("\n")[0],
            arguments=tuple(sorted(rule.arguments)),
            declaration=declaration_of(app.view_functions[rule.endpoint]),
        )
        for rule in app.url_map.iter_rules()
        if wants_json(rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    )


@lru_cache(maxsize=1)
def document(version: str, routes: tuple[Route, ...]) -> Json:
    """Return the whole description. It is made once: neither routes nor schemas change while the program runs."""
    schemas = {**_checked_bodies(routes), **_object_bodies(routes), **ERRORS}
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Hearth",
            "version": version,
            "description": "A local LLM server and its manager in one program. null means unset for every field.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _checked_bodies(routes: Iterable[Route]) -> dict[str, Json]:
    """Return the schemas of the pydantic models that check bodies, and of the models inside them."""
    bodies = {body.__name__: body for route in routes if isinstance(body := route.declaration.body, type)}
    _, found = models_json_schema([(body, "validation") for body in bodies.values()], ref_template=REFERENCE)
    plain = {name: _plain(schema) for name, schema in found.get("$defs", {}).items()}
    return {name: _or_null(schema) if name in bodies else schema for name, schema in plain.items()}


def _object_bodies(routes: Iterable[Route]) -> dict[str, Json]:
    return {body.name: body.schema() for route in routes if isinstance(body := route.declaration.body, ObjectBody)}


def _operation(route: Route) -> Json:
    error = "AnthropicError" if speaks_anthropic(route.path) else "Error"
    operation: Json = {
        "operationId": f"{route.method}.{route.endpoint}",
        "summary": route.summary,
        "tags": [route.path.split("/")[1]],
        "responses": {
            "2XX": {"description": "As asked.", "content": _answer(route)},
            "default": {"description": "Refused, or failed.", "content": _json({"$ref": _reference(error)})},
        },
    }
    if parameters := [*_path_parameters(route), *_query_parameters(route)]:
        operation["parameters"] = parameters
    if body := route.declaration.body:
        content = _json({"$ref": _reference(body.name if isinstance(body, ObjectBody) else body.__name__)})
        if route.declaration.example:
            content[JSON_TYPE]["example"] = route.declaration.example
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(route: Route) -> Json:
    objects = _json({"type": "object"})
    texts = {kind: {"schema": {"type": "string"}} for kind in route.declaration.gives if kind != JSON_TYPE}
    streamed: Json = {"text/event-stream": {}} if route.declaration.streams else {}
    return {**(objects if JSON_TYPE in route.declaration.gives else {}), **texts, **streamed}


def _path_parameters(route: Route) -> Iterable[Json]:
    for name in route.arguments:
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(route: Route) -> Iterable[Json]:
    for name, schema in route.declaration.query.items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def key_schema() -> Json:
    """Return the schema of a new key."""
    return _made_of(key_fields(time.time), "name")


def profile_schema(*required: str) -> Json:
    """Return the schema of a profile; `required` are the fields that a body must have."""
    return _made_of(TABLE, *required)


def settings_schema(section: str | None = None) -> Json:
    """Return the schema of every setting, or of one section's; null goes back to the default."""
    return _changing({name: field for name, field in table().items() if section in (None, field.section)})


def _made_of(fields: Mapping[str, Field], *required: str) -> Json:
    """Return the schema of a body that creates something; fields it leaves out get their defaults."""
    schemas = {name: field.schema() | _default(field) for name, field in fields.items()}
    return _or_null({**_closed(schemas), "required": list(required)})


def _changing(fields: Mapping[str, Field]) -> Json:
    """Return the schema of a body that changes the fields it has; null goes back to the default."""
    return _or_null({**_closed({name: field.schema() for name, field in fields.items()}), "required": []})


def _closed(properties: Json) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _default(field: Field) -> Json:
    return {} if field.default in (None, ()) else {"default": field.default}


def _plain(schema: Any) -> Any:
    """Return the schema without the titles that pydantic makes of names, and without defaults of None."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if not (name == "title" and isinstance(value, str))}
    if kept.get("default", ...) is None:
        del kept["default"]
    return {name: _plain(value) for name, value in kept.items()}


def _or_null(body: Json) -> Json:
    """Return the body's schema with null allowed for every field that is not required."""
    properties = {
        name: values if name in body["required"] else _with_null(values) for name, values in body["properties"].items()
    }
    return {**body, "properties": properties}


def _with_null(values: Json) -> Json:
    return values if {"type": "null"} in values.get("anyOf", ()) else {"anyOf": [values, {"type": "null"}]}


def _reference(name: str) -> str:
    return REFERENCE.format(model=name)


def _json(schema: Json) -> Json:
    return {JSON_TYPE: {"schema": schema}}
