"""The size and nature of a model's KV, learnt by running it on one token, which predicts the size for any length."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

# mlx-lm's caches grow by this many tokens at a time.
GROWTH_TOKENS = 256


@dataclass(frozen=True, slots=True)
class LayerSize:
    """KV bytes of one sequence in one layer: a fixed part, and a part for each token up to a window.

    A window holds the chunk in prefill as well; one of more than GROWTH_TOKENS takes more than this for a moment.
    """

    fixed_bytes: int
    token_bytes: int = 0
    window_tokens: int | None = None

    def bytes_for(self, tokens: int) -> int:
        if self.window_tokens is not None:
            tokens = min(tokens, self.window_tokens + GROWTH_TOKENS)
        return self.fixed_bytes + self.token_bytes * tokens


class KvSize:
    """The KV sizes of all layers of one model, found by running it on a single token.

    `always_cuts`: KV of any length can be cut back to that of a shorter prefix.
    """

    def __init__(self, network: nn.Module):
        layers = make_prompt_cache(network)
        logits = network(mx.array([[0]]), cache=layers)
        mx.eval(logits, [layer.state for layer in layers])
        self._layers = [size for layer in layers for size in _sizes(layer)]
        windows = [window for layer in layers for window in _windows(layer)]
        self._shortest_window = min(windows, default=None)
        self.always_cuts = self._shortest_window is None

    def can_cut(self, tokens: int) -> bool:
        """Whether KV of this many tokens can be cut back: a state never can, a window only until it is full."""
        return self._shortest_window is None or tokens < self._shortest_window

    def bytes_for(self, lengths: Seq[int]) -> int:
        """Bytes for a batch of these lengths; padding makes each sequence as large as the longest."""
        if not lengths:
            return 0
        tokens = -(-max(lengths) // GROWTH_TOKENS) * GROWTH_TOKENS
        return len(lengths) * sum(layer.bytes_for(tokens) for layer in self._layers)


def _sizes(layer: Any) -> Iterator[LayerSize]:
    if hasattr(layer, "caches"):
        for part in layer.caches:
            yield from _sizes(part)
    elif isinstance(keys := getattr(layer, "keys", None), mx.array):
        token_bytes = (keys.nbytes + layer.values.nbytes) // keys.shape[-2]
        yield LayerSize(0, token_bytes, getattr(layer, "max_size", None))
    else:
        yield LayerSize(int(layer.nbytes))


def _windows(layer: Any) -> Iterator[int]:
    """Yields how many tokens a layer holds before it forgets: a state 0; most layers never forget and yield nothing."""
    if hasattr(layer, "caches"):
        for part in layer.caches:
            yield from _windows(part)
    elif not layer.is_trimmable():
        yield 0
    elif (window := getattr(layer, "max_size", None)) is not None:
        yield window
