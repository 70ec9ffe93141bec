"""Texts as vectors: the hidden states behind a model's last layer, pooled. Engine thread only."""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from webapp.engine.runner import Embedded, Prefilled
from webapp.engine.sequence import Sequence
from webapp.errors import UnsupportedParameter

Pooling = Literal["mean", "first", "last"]

# The attributes under which mlx-lm's architectures hold the network without its head.
TRUNKS = ("model", "backbone", "transformer", "language_model.model", "language_model.backbone")
POOLING_FILE = Path("1_Pooling") / "config.json"
POOLING_MODES: dict[str, Pooling] = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_mean_tokens": "mean",
}


def pooling_of(folder: Path) -> Pooling:
    """The pooling named by the folder's sentence-transformers files; without them the mean of all tokens."""
    try:
        modes = json.loads((folder / POOLING_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return "mean"
    return next((pooling for mode, pooling in POOLING_MODES.items() if modes.get(mode) is True), "mean")


@dataclass(slots=True)
class Long:
    """A text that takes several steps: its KV so far, and the pooled hidden states so far."""

    sequence: Sequence
    layers: list[Any]
    done_tokens: int
    pooled: mx.array | None


class Embedder:
    """Computes vectors of the added sequences in order of arrival."""

    def __init__(self, network: nn.Module, pooling: Pooling):
        self._network = network
        self._trunk = _trunk(network)
        self._pooling = pooling
        self._waiting: list[Sequence] = []
        self._long: Long | None = None

    def sequences(self) -> Seq[Sequence]:
        return tuple(self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises UnsupportedParameter when the architecture gives no access to its hidden states."""
        if self._trunk is None:
            raise UnsupportedParameter("This model's architecture gives no embeddings.", place=("model",))
        self._waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        if self._long is not None and self._long.sequence is sequence:
            self._long = None

    def step(self, texts: int, tokens: int) -> tuple[list[Prefilled | Embedded], int]:
        """Compute the first `texts` side by side, or `tokens` of one long text; returns outputs and tokens computed."""
        first = self._waiting[0]
        if self._long is not None or len(first.prompt.tokens) > tokens:
            return self._step_long(first, tokens)
        abreast = self._waiting[:texts]
        vectors = self._embed([sequence.prompt.tokens for sequence in abreast])
        del self._waiting[:texts]
        computed = len(abreast) * max(len(sequence.prompt.tokens) for sequence in abreast)
        return [Embedded(*each) for each in zip(abreast, vectors, strict=True)], computed

    def _embed(self, texts: Seq[Seq[int]]) -> list[list[float]]:
        lengths = [len(text) for text in texts]
        longest = max(lengths)
        rows = mx.array([[*text, *[0] * (longest - len(text))] for text in texts])
        hidden = self._hidden(rows, None)
        ends = mx.array(lengths)[:, None]
        match self._pooling:
            case "first":
                pooled = hidden[:, 0]
            case "last":
                pooled = hidden[mx.arange(len(texts)), ends[:, 0] - 1]
            case "mean":
                inside = (mx.arange(longest) < ends)[:, :, None]
                pooled = mx.sum(mx.where(inside, hidden, 0), axis=1) / ends
        return normalised(pooled)

    def _step_long(self, sequence: Sequence, tokens: int) -> tuple[list[Prefilled | Embedded], int]:
        if self._long is None:
            self._long = Long(sequence, make_prompt_cache(self._network), 0, None)
        long = self._long
        chunk = sequence.prompt.tokens[long.done_tokens : long.done_tokens + tokens]
        hidden = self._hidden(mx.array([chunk]), long.layers)[0]
        long.pooled = self._pool_on(long.pooled, hidden)
        mx.eval(long.pooled, [layer.state for layer in long.layers])
        long.done_tokens += len(chunk)
        if long.done_tokens < len(sequence.prompt.tokens):
            return [Prefilled(sequence, long.done_tokens)], len(chunk)
        self._long = None
        self._waiting.remove(sequence)
        [vector] = normalised(long.pooled[None])  # a mean differs from a sum by its length alone
        return [Embedded(sequence, vector)], len(chunk)

    def _pool_on(self, pooled: mx.array | None, hidden: mx.array) -> mx.array:
        match self._pooling:
            case "first":
                return hidden[0] if pooled is None else pooled
            case "last":
                return hidden[-1]
            case "mean":
                total = mx.sum(hidden, axis=0)
                return total if pooled is None else pooled + total

    def _hidden(self, rows: mx.array, layers: list[Any] | None) -> mx.array:
        """Hidden states [rows, tokens, width], float32. Attention is causal: padding behind a text is harmless."""
        assert self._trunk is not None
        return self._trunk(rows, layers).astype(mx.float32)


def normalised(vectors: mx.array) -> list[list[float]]:
    """The vectors scaled to length 1, as lists of floats."""
    length = mx.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / mx.maximum(length, 1e-12)).tolist()  # type: ignore[return-value]


def _trunk(network: nn.Module) -> Any | None:
    for path in TRUNKS:
        trunk = reduce(lambda module, name: getattr(module, name, None), path.split("."), network)
        if isinstance(trunk, nn.Module):
            return trunk
    return None
