"""The engine's client, over a real engine and tiny models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import LLAMA, QWEN
from webapp.catalog.installed import Catalog
from webapp.engine.backend import Backend
from webapp.engine.engine import Engine
from webapp.engine.limits import Limits
from webapp.engine.pool.pool import Pool
from webapp.errors import ContextLengthExceeded, InvalidRequest, ModelNotFound
from webapp.generation import (
    Embedding,
    EmbeddingRequest,
    Finish,
    GenerationRequest,
    Message,
    SamplingParams,
    Terms,
    Text,
)
from webapp.providers.local import Local
from webapp.providers.provider import Provider
from webapp.stream import collect

HI = Message.of("user", "Hi")


@pytest.fixture(scope="module")
def local(models_dir: Path) -> Iterator[Provider]:
    backend, limits = Backend(), Limits()
    engine = Engine(Pool(backend, limits.pool, time.monotonic), limits)
    engine.start()
    yield Local(Catalog(models_dir, (), {"HF_HUB_CACHE": str(models_dir / "none")}), backend, engine)
    engine.stop()


def agreed(max_tokens: int = 8, context_length: int = 4096, *messages: Message) -> Terms:
    return Terms(messages or (HI,), {}, SamplingParams(temperature=0), max_tokens, context_length)


def test_it_has_the_models_of_this_machine(local: Provider) -> None:
    assert set(local.models()) == {QWEN, LLAMA}
    with pytest.raises(ModelNotFound):
        local.generate("gpt-9", GenerationRequest("r0", "helper", messages=(HI,)), agreed())


def test_an_answer_is_that_of_its_terms(local: Provider) -> None:
    request = GenerationRequest("r1", "helper", messages=(HI,), top_logprobs=2)
    stream = local.generate(QWEN, request, agreed())
    completion = collect(stream)
    assert (stream.answered_by, completion.finish.reason) == (QWEN, "length")
    assert completion.finish.usage.completion_tokens == len(completion.tokens) == 8
    assert completion.finish.usage.prompt_tokens == local.count_tokens(QWEN, request, agreed())
    assert "".join(token.token.decode() for token in completion.tokens) == completion.text
    again = collect(local.generate(QWEN, replace(request, id="r2"), agreed(4)))
    assert [each.token for each in again.tokens] == [each.token for each in completion.tokens[:4]]


def test_prompt_and_answer_share_the_context_of_the_terms(local: Provider) -> None:
    request = GenerationRequest("r3", "helper", prompt=(5, 6, 7))
    assert collect(local.generate(LLAMA, request, agreed(50, 10))).finish.usage.completion_tokens == 7
    with pytest.raises(ContextLengthExceeded):
        local.generate(LLAMA, request, agreed(50, 3))


def test_a_system_prompt_of_the_terms_stands_in_the_prompt(local: Provider) -> None:
    request = GenerationRequest("r4", "helper", messages=(HI,))
    terms = agreed(8, 4096, Message.of("system", "Be brief."), HI)
    text = local.detokenize(QWEN, local.render(QWEN, request, terms))
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n")
    assert local.detokenize(QWEN, local.tokenize(QWEN, text, special=False)) == text


def test_whoever_closes_a_stream_cancels_its_request(local: Provider) -> None:
    stream = local.generate(QWEN, GenerationRequest("r5", "helper", prompt="The river"), agreed(3000))
    next(event for event in stream if isinstance(event, Text))
    stream.close()
    *_, last = stream
    assert isinstance(last, Finish) and (last.reason, last.cancelled_by) == ("cancelled", "client")
    assert not local.cancel("r5", "api", lambda owner: True)


def test_texts_become_vectors_in_order(local: Provider) -> None:
    *vectors, last = local.embed(LLAMA, EmbeddingRequest("e1", "helper", ("The river", (5, 6, 7))), 4096)
    assert [each.index for each in vectors if isinstance(each, Embedding)] == [0, 1]
    assert isinstance(last, Finish) and last.usage.completion_tokens == 0
    with pytest.raises(InvalidRequest) as refused:
        local.embed(LLAMA, EmbeddingRequest("e2", "helper", ("The river", "")), 4096)
    assert refused.value.place == ("texts", 1)
    with pytest.raises(ContextLengthExceeded):
        local.embed(LLAMA, EmbeddingRequest("e3", "helper", ((5,) * 9,)), 8)
