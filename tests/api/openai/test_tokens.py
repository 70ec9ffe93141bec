"""/v1/tokenize and /v1/detokenize over HTTP, with real tokenizers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import Hearth

TEXT = "It 's  a river ,\n\tisn't it ? Zażółć 😀 "
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(params=[0, 1], ids=["qwen3", "llama"])
def model(request: pytest.FixtureRequest, hearth: Hearth) -> str:
    return hearth.models[request.param]


def post(hearth: Hearth, path: str, body: Any) -> httpx.Response:
    return httpx.post(f"{hearth.base_url}/v1/{path}", json=body, timeout=30)


def tokens_of(hearth: Hearth, **body: Any) -> list[int]:
    answer = post(hearth, "tokenize", body).json()
    assert answer["count"] == len(answer["tokens"])
    return list(answer["tokens"])


@pytest.mark.parametrize("text", [TEXT, "", " ", "hello"])
def test_there_and_back(hearth: Hearth, model: str, text: str) -> None:
    tokens = tokens_of(hearth, model=model, input=text)
    assert post(hearth, "detokenize", {"model": model, "tokens": tokens}).json() == {"input": text, "text": text}


def test_messages_are_the_prompt_of_a_chat(hearth: Hearth, model: str) -> None:
    tokens = tokens_of(hearth, model=model, messages=HELLO)
    answer = post(hearth, "chat/completions", {"model": model, "messages": HELLO, "max_tokens": 1}).json()
    assert len(tokens) == answer["usage"]["prompt_tokens"]


def test_special_tokens_are_added_when_asked(hearth: Hearth, model: str) -> None:
    raw = post(hearth, "completions", {"model": model, "prompt": "hello", "max_tokens": 1}).json()
    tokens = tokens_of(hearth, model=model, input="hello", add_special_tokens=True)
    assert len(tokens) == raw["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    "path, fields, param",
    [
        ("tokenize", {}, "input"),
        ("tokenize", {"input": 1}, "input"),
        ("tokenize", {"input": ["a"]}, "input"),
        ("tokenize", {"input": "a", "messages": HELLO}, "input"),
        ("tokenize", {"input": "a", "add_special_tokens": 1}, "add_special_tokens"),
        ("tokenize", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("detokenize", {}, "tokens"),
        ("detokenize", {"tokens": "a"}, "tokens"),
        ("detokenize", {"tokens": [1, True]}, "tokens[1]"),
        ("detokenize", {"tokens": [1, -1]}, "tokens[1]"),
        ("detokenize", {"tokens": [1, 2**30]}, "tokens[1]"),
        ("detokenize", {"tokens": [1, 2**31]}, "tokens[1]"),
    ],
)
def test_what_does_not_fit_is_named(hearth: Hearth, path: str, fields: Any, param: str) -> None:
    response = post(hearth, path, {"model": hearth.models[0], **fields})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("path, fields", [("tokenize", {"input": "a"}), ("detokenize", {"tokens": []})])
def test_an_unknown_model(hearth: Hearth, path: str, fields: Any) -> None:
    response = post(hearth, path, {"model": "nobody/has-this", **fields})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert "mood" in post(hearth, path, {"model": hearth.models[0], "mood": 1, **fields}).headers["x-hearth-ignored"]
