"""Embeddings with OpenAI's own client, against the model's hidden states computed one text at a time."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx
import pytest
from mlx_lm.utils import load_model
from openai import APIStatusError, BadRequestError, OpenAI

from tests.conftest import LLAMA, QWEN, Hearth
from webapp.people.access import Visitor

TEXTS = ["The river", "A much longer text about a river, a letter and a kettle that sings in the morning.", "x"]


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def expected(hearth: Hearth, model: str, text: str) -> list[float]:
    """The mean of the last hidden states, of length 1."""
    folder = hearth.server.catalog.find(model).path
    network, _ = load_model(folder)
    tokens = hearth.server.backend.tokenizer(hearth.server.catalog.find(model)).raw(text, 4096).tokens
    mean = mx.mean(network.model(mx.array([list(tokens)])).astype(mx.float32), axis=1)[0]
    return (mean / mx.linalg.norm(mean)).tolist()  # type: ignore[return-value]


@pytest.mark.parametrize("model", [QWEN, LLAMA])
def test_texts_together_equal_each_alone(client: OpenAI, hearth: Hearth, model: str) -> None:
    answer = client.embeddings.create(model=model, input=TEXTS, encoding_format="float")
    assert [row.index for row in answer.data] == [0, 1, 2]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10
    for row, text in zip(answer.data, TEXTS, strict=True):
        assert row.embedding == pytest.approx(expected(hearth, model, text), abs=1e-4)
        assert math.hypot(*row.embedding) == pytest.approx(1, abs=1e-4)


def test_a_long_text_in_pieces_equals_itself_at_once(client: OpenAI, hearth: Hearth) -> None:
    text = " ".join(TEXTS) * 8
    hearth.server.settings.save({"prefill_tokens": 16})
    pieces = client.embeddings.create(model=QWEN, input=text, encoding_format="float").data[0].embedding
    hearth.server.settings.save({"prefill_tokens": None})
    assert pieces == pytest.approx(expected(hearth, QWEN, text), abs=1e-4)


def test_the_client_s_own_default_is_base64(client: OpenAI, hearth: Hearth) -> None:
    plain = client.embeddings.create(model=QWEN, input="The river", encoding_format="float").data[0].embedding
    assert client.embeddings.create(model=QWEN, input="The river").data[0].embedding == pytest.approx(plain, abs=1e-6)
    body = {"model": QWEN, "input": "The river", "encoding_format": "base64"}
    packed = httpx.post(f"{hearth.base_url}/v1/embeddings", json=body).json()["data"][0]["embedding"]
    assert list(struct.unpack(f"<{len(plain)}f", base64.b64decode(packed))) == pytest.approx(plain, abs=1e-6)


def test_fewer_dimensions_are_of_length_1_again(client: OpenAI) -> None:
    whole = client.embeddings.create(model=QWEN, input="The river", encoding_format="float").data[0].embedding
    cut = client.embeddings.create(model=QWEN, input="The river", dimensions=8, encoding_format="float")
    length = math.hypot(*whole[:8])
    assert cut.data[0].embedding == pytest.approx([number / length for number in whole[:8]], abs=1e-5)


def test_token_ids_are_texts_too(client: OpenAI) -> None:
    one = client.embeddings.create(model=QWEN, input=[5, 6, 7], encoding_format="float").data[0].embedding
    rows = client.embeddings.create(model=QWEN, input=[[9, 10], [5, 6, 7]], encoding_format="float").data
    assert rows[1].embedding == pytest.approx(one, abs=1e-5)


def test_many_texts_come_in_order(client: OpenAI) -> None:
    texts = [f"text number {number}" for number in range(150)]
    answer = client.embeddings.create(model=QWEN, input=texts, encoding_format="float")
    assert [row.index for row in answer.data] == list(range(150))
    alone = client.embeddings.create(model=QWEN, input=texts[77], encoding_format="float").data[0].embedding
    assert answer.data[77].embedding == pytest.approx(alone, abs=1e-4)


@pytest.fixture
def one_place(hearth: Hearth) -> Iterator[None]:
    """The engine takes one request at a time, and one more may wait."""
    hearth.server.settings.save({"batch_size": 1, "max_waiting": 1})
    yield
    hearth.server.settings.save({"batch_size": None, "max_waiting": None})


def test_more_texts_than_the_queue_takes_come_one_after_another(client: OpenAI, one_place: None) -> None:
    answer = client.embeddings.create(model=QWEN, input=TEXTS, encoding_format="float")
    assert [row.index for row in answer.data] == [0, 1, 2]


def test_a_cancelled_request_is_an_error_and_no_shorter_list(client: OpenAI, hearth: Hearth, one_place: None) -> None:
    with client.completions.create(model=QWEN, prompt="The river", max_tokens=4000, stream=True) as story:
        next(story)  # holds the one place
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.embeddings.create, model=QWEN, input=TEXTS)
            while not (ids := [each.id for each in hearth.server.engine.snapshot.requests if each.state == "waiting"]):
                assert not asked.done()
            request_id = ids[0].removesuffix("-0")
            assert hearth.server.router.cancel(request_id, "api", Visitor())
            with pytest.raises(APIStatusError) as refused:
                asked.result(10)
    assert (refused.value.status_code, refused.value.code) == (499, "cancelled")
    (row,) = httpx.get(f"{hearth.base_url}/api/audit/logs", params={"id": request_id}).json()["logs"]
    assert (row["status"], row["code"]) == ("cancelled", "api")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 3]}, "input[1]"),
        ({"input": [[5], []]}, "input[1]"),
        ({"input": [10**6]}, "input[0][0]"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 1000}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "river " * 9000}, "input[0]"),
        ({}, "input"),
    ],
)
def test_bad_input_names_the_field(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.post("/embeddings", body={"model": QWEN, **fields}, cast_to=object)
    assert refused.value.param == param


def test_a_text_beside_a_running_answer_disturbs_nobody(client: OpenAI) -> None:
    asked: Any = {"model": QWEN, "prompt": "The river", "max_tokens": 200, "temperature": 0}

    def story() -> str:
        chunks = iter(client.completions.create(**asked, stream=True))
        text = next(chunks).choices[0].text
        client.embeddings.create(model=QWEN, input=TEXTS)
        return text + "".join(chunk.choices[0].text for chunk in chunks)

    assert story() == client.completions.create(**asked).choices[0].text


def test_pooling_follows_the_folder(tmp_path: Path) -> None:
    from webapp.engine.mlx.embedder import pooling_of

    assert pooling_of(tmp_path) == "mean"
    (tmp_path / "1_Pooling").mkdir()
    for mode, pooling in (("pooling_mode_cls_token", "first"), ("pooling_mode_lasttoken", "last")):
        (tmp_path / "1_Pooling" / "config.json").write_text(f'{{"{mode}": true, "pooling_mode_mean_tokens": false}}')
        assert pooling_of(tmp_path) == pooling
