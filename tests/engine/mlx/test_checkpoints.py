"""Where a prompt's KV is worth keeping for others: only of models whose KV cannot be cut back to a shorter prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.mlx.conftest import agreed, answer, rendered, sequence
from tiny_models import make_model
from webapp.catalog.folders import read_model
from webapp.engine.backend import Backend
from webapp.engine.cache_budget import CacheBudget
from webapp.engine.client.prepared import Tokenizer
from webapp.engine.mlx.batch import MlxRunner
from webapp.generation import GenerationRequest, InstalledModel, Message

Make = Callable[[str], InstalledModel]
SYSTEM = Message.of("system", "You are a helpful assistant. " * 20)
SAID = (SYSTEM, Message.of("user", "What is the time?"))


class Count(list[int]):
    """An option for the template that counts its renderings: transformers copies what it gives to each."""

    times = 0

    def __iter__(self) -> Iterator[int]:
        self.times += 1
        return super().__iter__()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A tiny model of an architecture."""
    return lambda name: read_model(name, make_model(tmp_path / name, name, "nano", seed=3), bundled=False)


def load(backend: Backend, model: InstalledModel) -> MlxRunner:
    loading = backend.open(model, CacheBudget(1 << 30))
    while (runner := loading.advance()) is None:
        pass
    assert isinstance(runner, MlxRunner)
    return runner


def renderings(tokenizer: Tokenizer) -> tuple[int, int]:
    """How often a prompt's template is rendered, and how many checkpoints come of it."""
    count = Count()
    request = GenerationRequest("r", "m", messages=SAID)
    prompt = tokenizer.prepare(request, agreed(SAID, count=count)).prompt
    return count.times, len(prompt.checkpoints)


@pytest.mark.parametrize(
    ("architecture", "then"),
    [("qwen3", (1, 0)), ("llama", (1, 0)), ("gemma3_text", (3, 2)), ("mamba2", (3, 2)), ("lfm2", (3, 2))],
)
def test_a_template_is_rendered_once_where_kv_can_be_cut_back(
    backend: Backend, make: Make, architecture: str, then: tuple[int, int]
) -> None:
    model = make(architecture)
    assert renderings(backend.tokenizer(model)) == (3, 2)  # nobody knows yet
    load(backend, model).close()
    assert renderings(backend.tokenizer(model)) == then


@pytest.mark.parametrize("architecture", ["qwen3", "gemma3_text", "mamba2", "lfm2"])
def test_instructions_are_computed_once_for_all_who_share_them(backend: Backend, make: Make, architecture: str) -> None:
    model = make(architecture)
    runner = load(backend, model)
    tokenizer = backend.tokenizer(model)
    prompts = [
        rendered(tokenizer, [SYSTEM, Message.of("user", text)])
        for text in ("Where are the keys?", "What is the time? It is almost ten.")
    ]
    shared = len(tokenizer.raw(f"<|im_start|>system\n{SYSTEM.text}<|im_end|>\n", 4096).tokens)
    first, second = (sequence(model, prompt.tokens) for prompt in prompts)
    for one, prompt in ((first, prompts[0]), (second, prompts[1])):
        one.prompt = prompt
    answer(runner, first)
    [reused] = answer(runner, second)
    assert second.cached_tokens >= shared > 64
    assert [reused] == answer(load(backend, model), sequence(model, prompts[1].tokens))
