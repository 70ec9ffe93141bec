"""The bundled model through the real client: a real end of text, and thinking kept apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.conftest import Hearth

QUESTION = [{"role": "user", "content": "What is the capital of Italy?"}]
THINKING = {"chat_template_kwargs": {"enable_thinking": True}}


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_it_answers_and_ends_by_itself(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="ember", messages=QUESTION, max_tokens=200)
    assert "Rome" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens < 100


def test_thinking_comes_apart_from_the_answer_plain_and_streamed(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="ember", messages=QUESTION, extra_body=THINKING)
    message = plain.choices[0].message.model_dump()
    assert message["reasoning_content"].strip()
    assert "Rome" in message["content"]
    assert "think>" not in message["reasoning_content"] + message["content"]
    assert plain.usage is not None and plain.usage.completion_tokens_details is not None
    assert plain.usage.completion_tokens_details.reasoning_tokens
    folded = {"reasoning_content": "", "content": ""}
    for chunk in client.chat.completions.create(model="ember", messages=QUESTION, extra_body=THINKING, stream=True):
        delta = chunk.choices[0].delta.model_dump()
        for name in folded:
            folded[name] += delta.get(name) or ""
    assert folded == {name: message[name] for name in folded}
