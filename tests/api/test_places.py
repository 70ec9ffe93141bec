"""A place of a request, as errors below the API name it, is the client's own path in what the client is told."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from tests.pages.conftest import Rows
from webapp.api import register
from webapp.api.anthropic.messages_schema import CountBody, MessagesBody
from webapp.api.body import validate
from webapp.api.openai.embeddings import EmbeddingBody
from webapp.api.openai.generation_schema import ChatBody, CompletionBody
from webapp.api.openai.responses_schema import ResponseBody
from webapp.api.openai.tokens_schema import DetokenizeBody, TokenizeBody
from webapp.api.record import record
from webapp.api.strict import StrictBody
from webapp.errors import InvalidRequest, Place
from webapp.generation import Event, Prefill
from webapp.stream import Stream

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
SAID: dict[str, Any] = {"model": "m", "input": "Hi"}
FORM = {"type": "json_schema", "schema": {"type": "object"}}
NAMED = FORM | {"name": "n"}
CLOCK = {"type": "function", "name": "clock"}
TOOLS = [{"type": "web_search"}, CLOCK, {"type": "namespace", "name": "home", "tools": [CLOCK, CLOCK | {"name": "x"}]}]

CASES: list[tuple[type[StrictBody], dict[str, Any], Place, str]] = [
    (ChatBody, HELLO, ("model",), "model"),
    (ChatBody, HELLO, ("messages",), "messages"),
    (ChatBody, HELLO, ("tools",), "tools"),
    (ChatBody, HELLO, ("tools", 2, "parameters", "properties", "x"), "tools[2].function.parameters.properties.x"),
    (ChatBody, HELLO, ("tool_choice",), "tool_choice"),
    (ChatBody, HELLO, ("tool_choice", "name"), "tool_choice.function.name"),
    (ChatBody, HELLO, ("effort",), "reasoning_effort"),
    (ChatBody, HELLO, ("options", "mood"), "chat_template_kwargs.mood"),
    (ChatBody, HELLO, ("logit_bias", 99999), "logit_bias.99999"),
    (ChatBody, {**HELLO, "response_format": {"type": "json_object"}}, ("grammar",), "response_format"),
    (
        ChatBody,
        {**HELLO, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        ("grammar",),
        "response_format.json_schema.schema",
    ),
    (ChatBody, {**HELLO, "response_format": {"type": "regex", "regex": "a"}}, ("grammar",), "response_format.regex"),
    (CompletionBody, {"model": "m", "prompt": "a"}, ("prompt", 0), "prompt"),
    (CompletionBody, {"model": "m", "prompt": [5, 6]}, ("prompt", 0, 1), "prompt[1]"),
    (CompletionBody, {"model": "m", "prompt": ["a", "b"]}, ("prompt", 1), "prompt[1]"),
    (CompletionBody, {"model": "m", "prompt": [[5], [6, 7]]}, ("prompt", 1, 1), "prompt[1][1]"),
    (
        CompletionBody,
        {"model": "m", "prompt": "a", "response_format": {"type": "grammar", "grammar": "start: x"}},
        ("grammar",),
        "response_format.grammar",
    ),
    (ResponseBody, SAID, ("messages",), "input"),
    (ResponseBody, SAID, ("effort",), "reasoning.effort"),
    (ResponseBody, {**SAID, "text": {"format": NAMED}}, ("grammar",), "text.format.schema"),
    (ResponseBody, {**SAID, "text": {"format": {"type": "json_object"}}}, ("grammar",), "text.format"),
    (ResponseBody, {**SAID, "tools": TOOLS}, ("tools", 0, "parameters", "not"), "tools[1].parameters.not"),
    (ResponseBody, {**SAID, "tools": TOOLS}, ("tools", 2, "parameters"), "tools[2].tools[1].parameters"),
    (ResponseBody, {**SAID, "tools": TOOLS}, ("tools",), "tools"),
    (ResponseBody, SAID, ("tool_choice", "name"), "tool_choice.name"),
    (CountBody, HELLO, ("messages", 1), "messages"),
    (CountBody, HELLO, ("tools", 1, "parameters", "properties", "x"), "tools[1].input_schema.properties.x"),
    (CountBody, HELLO, ("tools", 1, "name"), "tools[1].name"),
    (MessagesBody, {**HELLO, "max_tokens": 9, "output_format": FORM}, ("grammar",), "output_format.schema"),
    (
        MessagesBody,
        {**HELLO, "max_tokens": 9, "output_config": {"format": FORM}, "output_format": FORM},
        ("grammar",),
        "output_config.format.schema",
    ),
    (EmbeddingBody, SAID, ("texts", 0), "input[0]"),
    (EmbeddingBody, SAID, ("texts", 5, 2), "input[5][2]"),
    (TokenizeBody, SAID, ("text",), "input"),
    (TokenizeBody, HELLO, ("messages",), "messages"),
    (TokenizeBody, HELLO, ("options", "mood"), "chat_template_kwargs.mood"),
    (DetokenizeBody, {"model": "m", "tokens": [5]}, ("tokens", 3), "tokens[3]"),
]


@pytest.mark.parametrize(("schema", "fields", "place", "path"), CASES, ids=str)
def test_each_body_knows_where_its_client_wrote_it(
    schema: type[StrictBody], fields: dict[str, Any], place: Place, path: str
) -> None:
    assert validate(fields, schema).path_of(place) == path


def test_an_error_inside_a_stream_names_the_clients_path() -> None:
    app = Flask(__name__)
    app.extensions["server"] = SimpleNamespace(audit=Rows(), draining=False)
    register(app)

    def events() -> Iterator[Event]:
        yield Prefill(1, 2)
        raise InvalidRequest("no", place=("prompt", 1))

    with app.test_request_context("/v1/completions"):
        app.preprocess_request()
        record().path_of = validate({"model": "m", "prompt": ["a", "b"]}, CompletionBody).path_of
        with pytest.raises(InvalidRequest) as refusal:
            list(record().follow(Stream(events(), lambda: None)))
    assert refusal.value.param == "prompt[1]"
