"""Stores the KV of computed prompts and answers in RAM, for the next prompt that starts the same way."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Sequence as Seq
from itertools import islice
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache

from webapp.engine.cache_budget import ANYBODYS, CacheBudget, CachedPrefix, CacheKey
from webapp.engine.mlx.cache.prefix_tree import PrefixTree

SHORTEST_TOKENS = 8
# How many of the entries that share only a prefix are searched for a short one to cut back.
MOST_LOOKED_AT = 16


class PrefixCache:
    """The stored prefixes of one model, under the byte limit that all models share. Engine thread only.

    `on_drop` is called with each entry just before its KV is freed. Entries are evaluated, so they hold no graph.
    """

    def __init__(self, budget: CacheBudget, on_drop: Callable[[CachedPrefix], None] | None = None):
        self._budget = budget
        self._on_drop = on_drop
        self._trees: defaultdict[CacheKey, PrefixTree[CachedPrefix]] = defaultdict(PrefixTree)
        self.nbytes = 0

    def fetch(self, tokens: Seq[int], key: CacheKey = ANYBODYS) -> tuple[list[Any] | None, int]:
        """A copy of the KV of the longest stored prefix, None if there is none, and how many tokens it holds.

        The prefix always leaves at least one token to compute. The copy shares memory until it is written to.
        """
        entry, length = self._longest(tuple(tokens[:-1]), key)
        self._budget.count_request(entry)
        if entry is None:
            return None, 0
        layers = copy.deepcopy(entry.layers)
        if length < len(entry.tokens):
            trim_prompt_cache(layers, len(entry.tokens) - length)
        return layers, length

    def _longest(self, tokens: tuple[int, ...], key: CacheKey) -> tuple[CachedPrefix | None, int]:
        """The entry that shares the longest prefix with `tokens`, and the length of that prefix."""
        trail = self._trees[key].follow(tokens)
        whole = trail.passed[-1] if trail.passed else None
        length = len(whole.tokens) if whole else SHORTEST_TOKENS - 1
        if trail.known_tokens > length:
            looked_at = islice(trail.beyond(), MOST_LOOKED_AT)
            longer = [entry for entry in looked_at if can_trim_prompt_cache(entry.layers)]
            if longer:
                return min(longer, key=lambda entry: len(entry.tokens)), trail.known_tokens
        return whole, length

    def store(self, tokens: Seq[int], layers: list[Any], key: CacheKey = ANYBODYS) -> None:
        """Store `layers`, the KV of `tokens`. The copy runs behind the batch's next step."""
        entry = CachedPrefix(tuple(tokens), layers, sum(layer.nbytes for layer in layers), self._drop, key)
        if len(tokens) < SHORTEST_TOKENS or entry.nbytes > self._budget.limit_bytes:
            return
        mx.async_eval([layer.state for layer in layers])  # type: ignore[no-untyped-call]
        self._replace_with(entry)
        self._trees[key].put(entry.tokens, entry)
        self.nbytes += entry.nbytes
        self._budget.add(entry)

    def _replace_with(self, entry: CachedPrefix) -> None:
        """Remove the entries that `entry` makes needless: the same tokens, and its prefixes if it can be cut back."""
        cuttable = can_trim_prompt_cache(entry.layers)
        for other in self._trees[entry.key].follow(entry.tokens).passed:
            if cuttable or len(other.tokens) == len(entry.tokens):
                entry.shared |= other.shared
                self._budget.remove(other)
                self._forget(other)

    def _drop(self, entry: CachedPrefix) -> None:
        if self._on_drop is not None:
            self._on_drop(entry)
        self._forget(entry)

    def _forget(self, entry: CachedPrefix) -> None:
        self._trees[entry.key].remove(entry.tokens)
        self.nbytes -= entry.nbytes

    def clear(self) -> None:
        """Drop all entries."""
        for entry in [entry for tree in self._trees.values() for entry in tree.values()]:
            self._budget.remove(entry)
            self._drop(entry)
