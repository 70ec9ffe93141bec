"""/v1/openapi.json and /v1/docs: they tell of every route there is, and what they tell is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from flask import Flask, Response
from jsonschema import Draft202012Validator

from tests.api.test_malformed import FULL
from tests.conftest import Hearth
from webapp.api.declaration import takes, takes_query
from webapp.api.docs import values_of
from webapp.api.openapi import document as described
from webapp.api.openapi import routes_of
from webapp.api.strict import ModelName, StrictBody
from webapp.app import create_app
from webapp.settings.table import table

Json = dict[str, Any]
WITHOUT_BODY = {"/v1/requests/{request_id}/cancel"}


@pytest.fixture(scope="module")
def document(hearth: Hearth) -> Json:
    response = httpx.get(f"{hearth.base_url}/v1/openapi.json")
    assert response.status_code == 200 and response.headers["content-type"] == "application/json"
    return dict(response.json())


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def faults(document: Json, schema: Json, body: Json) -> list[str]:
    whole = schema | {"components": document["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(body)]


def schema_of(document: Json, path: str, method: str) -> Json:
    content = document["paths"][path][method]["requestBody"]["content"]
    return dict(content["application/json"]["schema"])


def test_every_route_is_told_of(document: Json, hearth: Hearth) -> None:
    rules = [rule for rule in create_app(hearth.server).url_map.iter_rules() if re.match("/(v1|api)(/|$)", rule.rule)]
    assert len(rules) > 20
    for rule in rules:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        methods = {method.lower() for method in rule.methods or ()} - {"head", "options"}
        assert methods <= document["paths"][path].keys()


def test_each_says_what_it_does_takes_and_answers(document: Json) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations(document):
        assert operation["summary"], path
        assert operation["responses"].keys() == {"2XX", "default"}
        in_path = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        takes_body = method in ("post", "put") and path not in WITHOUT_BODY
        assert ("requestBody" in operation) == takes_body, path


def test_every_reference_leads_somewhere(document: Json) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_examples_fit_what_they_are_examples_of(document: Json, hearth: Hearth) -> None:
    declared = [route for route in routes_of(create_app(hearth.server)) if route.declaration.example]
    named = {"/v1/chat/completions", "/v1/detokenize", "/api/keys", "/api/settings/pool"}
    assert named <= {route.path for route in declared}
    for route in declared:
        example = document["paths"][route.path][route.method]["requestBody"]["content"]["application/json"]["example"]
        assert faults(document, schema_of(document, route.path, route.method), example) == [], route.path
        if isinstance(route.declaration.body, type):
            route.declaration.body.model_validate(example)


class Wish(StrictBody):
    model: ModelName
    stream: bool | None = None


def test_a_route_is_described_by_what_stands_at_it() -> None:
    app = Flask("other")

    @app.post("/v1/wishes/<name>")
    @takes(Wish, example={"model": "m"})
    @takes_query(often={"type": "integer"})
    def wish(body: Wish, name: str) -> Response:
        """A wish, come true."""
        raise NotImplementedError

    known = described("1", routes_of(app))
    told = known["paths"]["/v1/wishes/{name}"]["post"]
    assert told["summary"] == "A wish, come true."
    assert [(parameter["name"], parameter["in"]) for parameter in told["parameters"]] == [
        ("name", "path"),
        ("often", "query"),
    ]
    body = told["requestBody"]["content"]["application/json"]
    assert body == {"schema": {"$ref": "#/components/schemas/Wish"}, "example": {"model": "m"}}
    assert known["components"]["schemas"]["Wish"]["required"] == ["model"]
    assert told["responses"]["2XX"]["content"].keys() == {"application/json", "text/event-stream"}


def test_limits_are_those_that_hold(document: Json) -> None:
    schema = schema_of(document, "/v1/chat/completions", "post")
    body = FULL | {"model": "m"}
    assert faults(document, schema, body) == []
    for wrong in ({"temperature": 3}, {"stop": ["x"] * 17}, {"messages": []}, {"model": None}, {"top_k": 1.5}):
        assert faults(document, schema, body | wrong)
    settings = schema_of(document, "/api/settings", "put")
    assert faults(document, settings, {"port": None, "max_waiting": 5}) == []
    assert faults(document, settings, {"port": -1}) and faults(document, settings, {"nonsense": 1})
    assert document["components"]["schemas"]["Settings"]["properties"].keys() == table().keys()
    profile = schema_of(document, "/api/profiles", "post")
    made = {"name": "a", "model": "m"}
    assert faults(document, profile, made | {"top_p": None, "pinned": True, "template_options": {"n": 1}}) == []
    for wrong in ({"top_p": 0}, {"name": "a/"}, {"model": None}, {"pinned": 1}, {"nonsense": 1}):
        assert faults(document, profile, made | wrong)
    assert faults(document, schema_of(document, "/api/profiles/{name}", "put"), {"model": "m"}) == []
    key = schema_of(document, "/api/keys", "post")
    assert faults(document, key, {"name": "a", "scope": None, "expires": "2035-01-01", "models": ["m"]}) == []
    for wrong in ({"name": "a b"}, {"scope": "root"}, {"expires": 0}, {"models": "m"}, {"nonsense": 1}):
        assert faults(document, key, {"name": "a"} | wrong)


def test_errors_are_as_told(document: Json, hearth: Hearth) -> None:
    for path in ("/v1/chat/completions", "/v1/messages", "/api/models/load"):
        answer = document["paths"][path]["post"]["responses"]["default"]["content"]["application/json"]["schema"]
        assert faults(document, answer, httpx.post(f"{hearth.base_url}{path}", json={}).json()) == []


def test_routes_are_the_same_each_time(hearth: Hearth) -> None:
    assert routes_of(create_app(hearth.server)) == routes_of(create_app(hearth.server))


def test_the_page_shows_every_route(document: Json, hearth: Hearth) -> None:
    response = httpx.get(f"{hearth.base_url}/v1/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for path, method, _ in operations(document):
        assert f"<code>{method.upper()} {path}</code>" in response.text
    assert f"curl {hearth.base_url}/v1/messages" in response.text
    assert "<style" not in response.text and not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=", response.text)
    assert "script-src 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "schema, words",
    [
        ({"anyOf": [{"type": "number", "minimum": 0, "maximum": 2}, {"type": "null"}]}, "number, 0 to 2"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0 to 1"),
        ({"type": "integer", "minimum": 1}, "integer, 1 and up"),
        ({"type": "string", "maxLength": 9}, "string, up to 9 characters"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 16}, "list of string, up to 16 items"),
        ({"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/x"}}]}, "string, or list of object"),
        ({"enum": ["a", 1]}, '"a" · 1'),
        ({"type": "boolean"}, "boolean"),
        ({}, "anything"),
    ],
    ids=str,
)
def test_limits_in_words(schema: Json, words: str) -> None:
    assert values_of(schema) == words
