"""No parameter that OpenAI defines is dropped in silence, and docs/api.md says what becomes of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params

from webapp.api.body import validate
from webapp.api.openai import chat, completions
from webapp.api.openai.generation_schema import ChatBody, CompletionBody
from webapp.api.unsupported import HARMLESS, Refused, ignored_names, refuse_unsupported
from webapp.errors import UnsupportedParameter

HELLO = {"role": "user", "content": "hello"}
DOCS = Path(__file__).parents[2] / "docs" / "api.md"
ROUTES = [
    (chat_create_params.CompletionCreateParamsStreaming, ChatBody, chat.REFUSED),
    (completion_create_params.CompletionCreateParamsStreaming, CompletionBody, completions.REFUSED),
]


@pytest.mark.parametrize("openai_params, schema, refused", ROUTES, ids=["chat", "completions"])
def test_every_openai_parameter_has_a_place(openai_params: Any, schema: Any, refused: tuple[Refused, ...]) -> None:
    works, refused_names = set(schema.model_fields), {parameter.name for parameter in refused}
    assert openai_params.__annotations__.keys() - works - refused_names - HARMLESS == set()
    assert not works & refused_names
    assert not (works | refused_names) & HARMLESS


@pytest.mark.parametrize("_, schema, refused", ROUTES, ids=["chat", "completions"])
def test_docs_name_every_parameter(_: Any, schema: Any, refused: tuple[Refused, ...]) -> None:
    text = DOCS.read_text()
    names = {*schema.model_fields, *HARMLESS, *(parameter.name for parameter in refused)}
    assert {name for name in names if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("refused", [chat.REFUSED, completions.REFUSED], ids=["chat", "completions"])
def test_refused_by_name_unless_off(refused: tuple[Refused, ...]) -> None:
    for parameter in refused:
        for off in (None, *parameter.off):
            refuse_unsupported({parameter.name: off}, refused)
        with pytest.raises(UnsupportedParameter) as refusal:
            refuse_unsupported({parameter.name: "something else"}, refused)
        assert refusal.value.param == parameter.name


@pytest.mark.parametrize("body", [{"verbosity": "high"}, {"modalities": ["text", "audio"]}, {"functions": {}}], ids=str)
def test_almost_off_is_not_off(body: dict[str, object]) -> None:
    with pytest.raises(UnsupportedParameter):
        refuse_unsupported(body, chat.REFUSED)


def test_ignored_fields_are_named_with_their_path() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}], "mood": 1}
    raw = {"model": "m", "messages": [HELLO, message], "user": "me", "n": 1, "mirostat": 2}
    body = validate(raw, ChatBody)
    assert ignored_names(body, chat.REFUSED) == ("mirostat, messages[1].mood, messages[1].content[0].cache_control")


def test_ignored_names_are_safe_in_a_header() -> None:
    raw = {"model": "m", "messages": [HELLO], "a\r\nset-cookie: x": 1, "ä" * 500: 1}
    names = ignored_names(validate(raw, ChatBody), chat.REFUSED)
    assert names.isascii() and names.isprintable() and len(names) < 200
    many = {"model": "m", "messages": [HELLO]} | {f"x{number}": 1 for number in range(5000)}
    assert ignored_names(validate(many, ChatBody), chat.REFUSED).endswith("x19, ...")
