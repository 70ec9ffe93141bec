"""The OpenAPI description of /v1 and /api, made from the routes there are and the schemas they validate with.

Summaries are the first lines of the views' docstrings. Knows nothing of the server that answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from webapp.api.anthropic.messages_schema import CountBody, MessagesBody
from webapp.api.manage.audit import FORMATS, MOST_ROWS
from webapp.api.openai.embeddings import EmbeddingBody
from webapp.api.openai.generation_schema import ChatBody, CompletionBody
from webapp.api.openai.response_items import DEFAULT_LIMIT as DEFAULT_ITEMS
from webapp.api.openai.response_items import MOST as MOST_ITEMS
from webapp.api.openai.response_items import ORDERS
from webapp.api.openai.responses_schema import ResponseBody
from webapp.api.openai.tokens_schema import DetokenizeBody, TokenizeBody
from webapp.dialects import speaks_anthropic, wants_json
from webapp.people.keys import MOST_MODELS, NAME, SCOPES
from webapp.routing.profiles import TABLE, Profile
from webapp.settings.field import Rule
from webapp.settings.table import table
from webapp.store.audit import ASKED

Json = dict[str, Any]

VERSION = "3.1.0"
REFERENCE = "#/components/schemas/{model}"
EMBER = "ember"
HELLO: Json = {"model": EMBER, "messages": [{"role": "user", "content": "Hello!"}]}

# What each route's body is validated with.
BODIES: Mapping[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/embeddings": EmbeddingBody,
    "/v1/messages": MessagesBody,
    "/v1/messages/count_tokens": CountBody,
    "/v1/responses": ResponseBody,
    "/v1/tokenize": TokenizeBody,
    "/v1/detokenize": DetokenizeBody,
}
STREAMED = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"})
EXAMPLES: Mapping[str, Json] = {
    "/v1/chat/completions": HELLO,
    "/v1/completions": {"model": EMBER, "prompt": "The fire in the", "max_tokens": 32},
    "/v1/embeddings": {"model": EMBER, "input": ["a warm fire", "a cold river"]},
    "/v1/messages": {**HELLO, "max_tokens": 256},
    "/v1/messages/count_tokens": HELLO,
    "/v1/responses": {"model": EMBER, "input": "Hello!"},
    "/v1/tokenize": {"model": EMBER, "input": "a warm fire"},
    "/v1/detokenize": {"model": EMBER, "tokens": [5, 6, 7]},
    "/api/models/load": {"model": EMBER},
    "/api/models/unload": {"model": EMBER},
    "/api/settings": {"max_tokens": 2048},
    "/api/settings/pool": {"memory_limit": 8},
    "/api/profiles": {"name": "brief", "model": EMBER, "system_prompt": "Be brief."},
    "/api/keys": {"name": "agent", "scope": "inference", "expires": 86_400, "models": [EMBER]},
}
QUERIES: Mapping[str, Mapping[str, Json]] = {
    "/api/audit/logs": {
        **{name: {"type": "string"} for name in sorted(ASKED)},
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST_ROWS},
        "before": {"type": "string", "description": "The `next` of the rows before."},
    },
    "/api/audit/export": {
        **{name: {"type": "string"} for name in sorted(ASKED)},
        "format": {"enum": sorted(FORMATS), "default": "jsonl"},
    },
    "/v1/responses/{response_id}/input_items": {
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": DEFAULT_ITEMS},
        "order": {"enum": list(ORDERS), "default": ORDERS[0]},
        "after": {"type": "string", "description": "The id of the item before."},
    },
}
KEY: Json = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
        "scope": {"enum": list(SCOPES), "default": SCOPES[0]},
        "expires": {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}],
            "description": "Seconds from now, or a date or time in ISO 8601.",
        },
        "models": {"type": "array", "items": {"type": "string"}, "maxItems": MOST_MODELS},
    },
}
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


def routes_of(app: Flask) -> tuple[Route, ...]:
    """Everything that answers JSON, in the order it was registered."""
    return tuple(
        Route(
            path=re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule),
            method=method.lower(),
            endpoint=rule.endpoint.removeprefix("api."),
            summary=(app.view_functions[rule.endpoint].__doc__ or "").strip().partition("\n")[0],
            arguments=tuple(sorted(rule.arguments)),
        )
        for rule in app.url_map.iter_rules()
        if wants_json(rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    )


@lru_cache(maxsize=1)
def document(version: str, routes: tuple[Route, ...]) -> Json:
    """The whole description. Made once: neither routes nor schemas change while the program runs."""
    schemas = {**_schemas(), **ERRORS}
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


def _schemas() -> dict[str, Json]:
    _, found = models_json_schema(
        [(schema, "validation") for schema in dict.fromkeys(BODIES.values())], ref_template=REFERENCE
    )
    bodies = {schema.__name__ for schema in BODIES.values()}
    plain = {name: _plain(schema) for name, schema in found["$defs"].items()}
    return {
        **{name: _or_null(schema) if name in bodies else schema for name, schema in plain.items()},
        "Profile": _or_null(_profile()),
        "ProfileValues": _or_null({**_profile(), "required": ["model"]}),
        "Key": _or_null(KEY),
        "Settings": _settings(None),
        "PoolSettings": _settings("Pool"),
        "ModelName": {"type": "object", "required": ["model"], "properties": {"model": {"type": "string"}}},
    }


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
    if body := _body(route):
        content = _json({"$ref": _reference(body)})
        if example := EXAMPLES.get(route.path):
            content["application/json"]["example"] = example
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _body(route: Route) -> str | None:
    """The name of the schema that the body must fit."""
    if route.method not in ("post", "put"):
        return None
    if schema := BODIES.get(route.path):
        return schema.__name__
    named = {"settings.save_settings": "Settings", "settings.save_pool_settings": "PoolSettings"}
    named |= {"profiles.create_profile": "Profile", "profiles.replace_profile": "ProfileValues"}
    named |= {"keys.create_key": "Key"}
    named |= {"installed.load_model": "ModelName", "installed.unload_model": "ModelName"}
    return named.get(route.endpoint)


def _answer(route: Route) -> Json:
    if route.path == "/v1/docs":
        return {"text/html": {"schema": {"type": "string"}}}
    if route.path == "/api/audit/export":
        return {kind.partition(";")[0]: {"schema": {"type": "string"}} for _, kind in FORMATS.values()}
    plain = _json({"type": "object"})
    return {**plain, "text/event-stream": {}} if route.path in STREAMED else plain


def _path_parameters(route: Route) -> Iterable[Json]:
    for name in route.arguments:
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(route: Route) -> Iterable[Json]:
    for name, schema in QUERIES.get(route.path, {}).items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def _profile() -> Json:
    schema = _plain(TypeAdapter(Profile).json_schema(ref_template=REFERENCE))
    properties = {name: {**schema["properties"][name], "description": choice.help} for name, choice in TABLE.items()}
    return {"type": "object", "required": ["name", "model"], "properties": properties}


def _settings(section: str | None) -> Json:
    """Every setting, or those of one section; null goes back to the default."""
    rules = {name: rule for name, (_, rule) in table().items() if section in (None, rule.section)}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _with_null(_setting(rule)) for name, rule in rules.items()},
    }


def _setting(rule: Rule) -> Json:
    schema: Json = {"description": f"{rule.label}. {rule.help}"}
    match rule.type:
        case "choice":
            return {**schema, "enum": list(rule.choices)}
        case "models" | "texts":
            names: Json = {"type": "array", "items": {"type": "string"}}
            return {**schema, "anyOf": [names, {"type": "string"}]}
        case "text":
            return {**schema, "type": "string"}
    limits = {"minimum": rule.minimum, "maximum": rule.maximum}
    return {**schema, "type": rule.type, **{name: value for name, value in limits.items() if value is not None}}


def _plain(schema: Any) -> Any:
    """Without the titles that pydantic makes of the names, and without the default that says unset."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if not (name == "title" and isinstance(value, str))}
    if kept.get("default", ...) is None:
        del kept["default"]
    return {name: _plain(value) for name, value in kept.items()}


def _or_null(body: Json) -> Json:
    """Null unsets every field that is not required."""
    properties = {
        name: values if name in body["required"] else _with_null(values) for name, values in body["properties"].items()
    }
    return {**body, "properties": properties}


def _with_null(values: Json) -> Json:
    return values if {"type": "null"} in values.get("anyOf", ()) else {"anyOf": [values, {"type": "null"}]}


def _reference(name: str) -> str:
    return REFERENCE.format(model=name)


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
