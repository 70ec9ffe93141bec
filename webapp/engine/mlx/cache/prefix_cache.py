"""KV of prompts and answers already computed, kept in RAM for the next prompt that starts the same way."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache, trim_prompt_cache

SHORTEST_TOKENS = 8


class PrefixCache:
    """mlx-lm's prompt cache for one model. Engine thread only; entries are evaluated, so they hold no graph."""

    def __init__(self) -> None:
        self._entries = LRUPromptCache(max_size=1 << 30)

    @property
    def nbytes(self) -> int:
        return self._entries.nbytes

    def fetch(self, tokens: Seq[int]) -> tuple[list[Any] | None, int]:
        """The longest kept prefix as a KV cache of one's own, and how many tokens it holds.

        At least one token is always left over to start the answer from.
        """
        known = list(tokens)
        layers, rest = self._entries.fetch_nearest_cache("", known)
        if layers is not None and not rest:
            if can_trim_prompt_cache(layers):
                trim_prompt_cache(layers, 1)
                return layers, len(known) - 1
            layers, rest = self._entries.fetch_nearest_cache("", known[:-1])
            return layers, len(known) - 1 - len(rest)
        return layers, len(known) - len(rest)

    def store(self, tokens: Seq[int], layers: list[Any]) -> None:
        """Keep `layers`, the KV of `tokens`. The copy runs behind the batch's next step."""
        if len(tokens) < SHORTEST_TOKENS:
            return
        mx.async_eval([layer.state for layer in layers])  # type: ignore[no-untyped-call]
        self._entries.insert_cache("", list(tokens), layers)

    def trim(self, max_bytes: int) -> None:
        """Drop the oldest entries until at most `max_bytes` are held."""
        self._entries.trim_to(n_bytes=max_bytes)
