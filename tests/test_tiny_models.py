"""The random-weight models that the other tests and the bench stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.tiny_models import ARCHITECTURES, make_model, make_tokenizer
from webapp.engine import blas

blas.load()
mlx_lm = pytest.importorskip("mlx_lm")


def generate(folder: Path, text: str, max_tokens: int) -> list[Any]:
    model, tokenizer = mlx_lm.load(str(folder))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    return list(mlx_lm.stream_generate(model, tokenizer, prompt, max_tokens=max_tokens))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_answers_vary_and_do_not_end_by_themselves(architecture: str, tmp_path: Path) -> None:
    responses = generate(make_model(tmp_path / architecture, architecture), "Tell me about rivers, 🔥!", 150)
    tokens = [response.token for response in responses]
    assert len(tokens) == 150
    assert responses[-1].finish_reason == "length"
    assert len(set(tokens)) > 60, "greedy answers go in circles"
    assert "�" not in "".join(response.text for response in responses)


def test_same_seed_same_files_other_seed_other_answer(tmp_path: Path) -> None:
    first, same, other = (make_model(tmp_path / str(n), seed=seed) for n, seed in enumerate((1, 1, 2)))
    for path in first.iterdir():
        assert path.read_bytes() == (same / path.name).read_bytes(), path.name
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_bfloat16_loads(tmp_path: Path) -> None:
    assert len(generate(make_model(tmp_path, dtype="bfloat16"), "Hello", 8)) == 8


@pytest.mark.parametrize("text", ["plain", "Ünïcödé ねこ 🔥\u200d", "\x00\x07\r\n\t", "<|im_start|>"])
def test_any_text_makes_the_round_trip(text: str) -> None:
    tokenizer = make_tokenizer(512)
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text
    assert tokenizer.get_vocab_size() == 512


def test_chat_template_knows_the_roles_and_thinking(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_model(tmp_path))
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    messages = [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "2"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert text.startswith("<|im_start|>system\nD<|im_end|>\n<|im_start|>user\nU<|im_end|>\n")
    assert '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' in text
    assert text.endswith("<|im_start|>tool\n2<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
