"""What the prefix cache keeps and drops, with the KV of real tiny models."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache

from tests.conftest import LLAMA, QWEN
from tests.engine.mlx.conftest import answer, sequence
from tiny_models import make_model
from webapp.catalog.folders import read_model
from webapp.engine.cache_budget import CacheBudget, CachedPrefix, CacheKey
from webapp.engine.mlx.batch import MlxRunner
from webapp.engine.mlx.cache.prefix_cache import PrefixCache
from webapp.engine.mlx.loading import MlxLoading
from webapp.engine.sequence import Prompt
from webapp.generation import InstalledModel

Installed = Callable[[str], InstalledModel]
GB = 10**9


def load(model: InstalledModel, caches: CacheBudget) -> MlxRunner:
    loading = MlxLoading(model, caches)
    while (runner := loading.advance()) is None:
        pass
    return runner


def prompt(number: int, length: int) -> tuple[int, ...]:
    numbers = random.Random(number)
    return tuple(numbers.randrange(10, 400) for _ in range(length))


def layers(tokens: tuple[int, ...]) -> list[Any]:
    """One layer whose keys are the tokens."""
    layer = KVCache()
    keys = mx.array(tokens, dtype=mx.float32)[None, None, :, None]
    layer.update_and_fetch(keys, keys)
    return [layer]


def held(layers: list[Any]) -> tuple[int, ...]:
    return tuple(int(key) for key in layers[0].state[0][0, 0, : layers[0].offset, 0].tolist())


def test_a_prefix_is_cut_to_what_is_shared_and_one_token_is_left() -> None:
    cache, tokens = PrefixCache(CacheBudget(GB)), prompt(1, 40)
    cache.store(tokens, layers(tokens))
    for asked, shared in ((tokens, 39), (tokens[:20], 19), ((*tokens[:15], 500, 501), 15), ((*tokens, 5, 6), 40)):
        found, length = cache.fetch(asked)
        assert found is not None and length == shared
        assert held(found) == tokens[:shared]
    assert cache.fetch((*tokens[:3], *prompt(2, 40))) == (None, 0)


def test_what_is_fetched_can_be_written_to() -> None:
    cache, tokens = PrefixCache(CacheBudget(GB)), prompt(1, 40)
    cache.store(tokens, layers(tokens))
    found, _ = cache.fetch((*tokens[:20], 7))
    assert found is not None
    found[0].update_and_fetch(mx.zeros((1, 1, 5, 1)), mx.zeros((1, 1, 5, 1)))
    again, _ = cache.fetch((*tokens, 7))
    assert again is not None and held(again) == tokens


def test_a_longer_entry_takes_the_place_of_those_it_serves() -> None:
    dropped: list[CachedPrefix] = []
    budget = CacheBudget(GB)
    cache, tokens = PrefixCache(budget, dropped.append), prompt(1, 600)
    cache.store(tokens[:30], layers(tokens[:30]))
    cache.fetch(tokens)
    cache.store(tokens, layers(tokens))
    assert cache.nbytes == budget.used_bytes == layers(tokens)[0].nbytes
    assert dropped == []
    other = prompt(2, 20)
    cache.store(other, layers(other))
    budget.shrink(cache.nbytes - 1)
    assert [entry.tokens for entry in dropped] == [other]


def test_who_keeps_a_second_tier_gets_what_goes_before_it_is_gone() -> None:
    budget, second_tier = CacheBudget(GB), dict[tuple[int, ...], tuple[int, ...]]()

    def note(entry: CachedPrefix) -> None:
        second_tier[entry.tokens] = held(entry.layers)

    cache = PrefixCache(budget, note)
    prompts = [prompt(number, 20) for number in range(4)]
    for tokens in prompts:
        cache.store(tokens, layers(tokens))
    budget.shrink(2 * cache.nbytes // 4)
    assert second_tier == {tokens: tokens for tokens in prompts[:2]}
    assert cache.fetch(prompts[0]) == (None, 0)
    cache.clear()
    assert second_tier == {tokens: tokens for tokens in prompts}
    assert cache.nbytes == budget.used_bytes == 0


def test_entries_of_another_key_are_not_found() -> None:
    cache, tokens = PrefixCache(CacheBudget(GB)), prompt(1, 40)
    cache.store(tokens, layers(tokens), CacheKey("anna"))
    assert cache.fetch(tokens) == (None, 0)
    assert cache.fetch(tokens, CacheKey("anna", "other weights")) == (None, 0)
    assert cache.fetch(tokens, CacheKey("anna"))[1] == 39


def test_what_is_larger_than_the_limit_drops_nothing() -> None:
    small, large = prompt(1, 40), prompt(2, 4000)
    budget = CacheBudget(layers(small)[0].nbytes)
    cache = PrefixCache(budget)
    cache.store(small, layers(small))
    cache.store(large, layers(large))
    assert cache.fetch(large) == (None, 0)
    assert cache.fetch(small)[1] == 39


def test_two_models_share_one_limit_and_the_longest_unused_entry_goes_whose_ever_it_is(installed: Installed) -> None:
    caches = CacheBudget(GB)
    one, two = load(installed(QWEN), caches), load(installed(LLAMA), caches)
    answer(one, sequence(installed(QWEN), prompt(1, 100)))
    answer(two, sequence(installed(LLAMA), prompt(2, 100)))
    answer(one, sequence(installed(QWEN), prompt(3, 100)))
    assert caches.used_bytes == one.prefix_cache_bytes + two.prefix_cache_bytes
    caches.shrink(caches.used_bytes - 1)
    assert [cached(one, prompt(1, 100)), cached(two, prompt(2, 100)), cached(one, prompt(3, 100))] == [0, 99, 99]
    one.close()
    assert caches.used_bytes == two.prefix_cache_bytes > 0


@pytest.mark.parametrize("architecture", ["qwen3", "mamba2"])
def test_single_answers_never_push_out_the_checkpoint_that_every_request_hits(
    tmp_path: Path, architecture: str
) -> None:
    """Fault 9: the hottest checkpoint, as the oldest, was the first to go. Only mamba2 keeps one by itself."""
    make_model(tmp_path / "m", architecture, "nano")
    model = read_model("m", tmp_path / "m", bundled=False)
    caches = CacheBudget(GB)
    runner, system = load(model, caches), prompt(0, 64)
    ask(runner, model, system, 0)
    caches.obey(caches.used_bytes * 3 // 2)
    for number in range(1, 40):
        assert ask(runner, model, system, number) >= len(system), number
        for other in range(4):
            ask(runner, model, (), 1000 * number + other)
    assert caches.used_bytes <= caches.limit_bytes


def ask(runner: MlxRunner, model: InstalledModel, system: tuple[int, ...], number: int) -> int:
    """Answer one prompt that begins with `system`; how much of it came from the cache."""
    one = sequence(model, (*system, *prompt(number, 30)), max_tokens=4)
    one.prompt = Prompt(one.prompt.tokens, checkpoints=(len(system),) if system else ())
    answer(runner, one)
    return one.cached_tokens


def cached(runner: MlxRunner, tokens: tuple[int, ...]) -> int:
    return runner._prefix_cache.fetch(tokens)[1]
