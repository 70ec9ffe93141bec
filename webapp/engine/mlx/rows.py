"""How each row of a batch samples its next token, in one call for the whole batch.

`Rows` poses as one more layer of the KV cache: BatchGenerator merges, extends and filters it together
with the keys and values, so every row's parameters are always where the row is, whoever joins or leaves.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from webapp.generation import SamplingParams

WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's sampling; `seed` is set, and `prompt` only where a penalty counts it."""

    sampling: SamplingParams
    seed: int
    prompt: tuple[int, ...] = ()

    @property
    def penalised(self) -> bool:
        s = self.sampling
        return s.repetition_penalty != 1 or s.presence_penalty != 0 or s.frequency_penalty != 0

    def key(self, position: int) -> tuple[int, int]:
        """Threefry key of one draw: depends on the seed and the position in the answer, not on the batch."""
        return (self.seed & WORD) ^ (self.seed >> 32 & WORD) * 0x9E3779B1 & WORD, position


@dataclass(frozen=True, slots=True)
class Tally:
    """How often each token stands in the output and in the prompt of each penalised row.

    Both arrays have shape [penalised rows, vocabulary], in the batch's order.
    """

    output: mx.array
    prompt: mx.array

    @classmethod
    def start(cls, rows: Seq[Row], vocabulary: int) -> Tally:
        prompt = mx.zeros((len(rows), vocabulary))
        for i, row in enumerate(rows):
            if row.prompt:
                prompt[i, mx.array(row.prompt)] = 1
        return cls(mx.zeros((len(rows), vocabulary)), prompt)

    def take(self, ranks: Seq[int]) -> Tally:
        at = mx.array(list(ranks), dtype=mx.int32)
        return Tally(self.output[at], self.prompt[at])

    def join(self, other: Tally) -> Tally:
        return Tally(mx.concatenate([self.output, other.output]), mx.concatenate([self.prompt, other.prompt]))

    def add(self, tokens: mx.array) -> Tally:
        """Count one more output token of each row."""
        return Tally(self.output.at[mx.arange(tokens.shape[0]), tokens].add(1), self.prompt)

    def penalise(self, logits: mx.array, params: Seq[SamplingParams]) -> mx.array:
        """Repetition, presence and frequency penalties on logits of shape [penalised rows, vocabulary]."""
        repetition = mx.array([[p.repetition_penalty] for p in params])
        frequency = mx.array([[p.frequency_penalty] for p in params])
        presence = mx.array([[p.presence_penalty] for p in params])
        repeated = mx.where(logits > 0, logits / repetition, logits * repetition)
        logits = mx.where(self.output + self.prompt > 0, repeated, logits)
        return logits - frequency * self.output - presence * (self.output > 0)


class Rows:
    """The rows of one batch, in the batch's order. Speaks mlx-lm's batched cache protocol (0.32)."""

    nbytes = 0
    state: tuple[mx.array, ...] = ()

    def __init__(self, rows: Seq[Row], positions: Seq[int] | None = None):
        self.rows = list(rows)
        self.positions = list(positions) if positions is not None else [0] * len(self.rows)
        self._tally: Tally | None = None
        self._columns: Columns | None = None

    @staticmethod
    def merge(caches: Seq[Rows]) -> Rows:
        merged = Rows([])
        for cache in caches:
            merged.extend(cache)
        return merged

    def extend(self, other: Rows) -> None:
        known = self._tally or other._tally
        if known is not None:
            vocabulary = known.output.shape[1]
            self._tally = self._tallied(vocabulary).join(other._tallied(vocabulary))
        self.rows += other.rows
        self.positions += other.positions
        self._columns = None

    def filter(self, keep: Seq[int]) -> None:
        if self._tally is not None:
            ranks = {i: rank for rank, i in enumerate(self._penalised())}
            self._tally = self._tally.take([ranks[i] for i in keep if i in ranks])
        self.rows = [self.rows[i] for i in keep]
        self.positions = [self.positions[i] for i in keep]
        self._columns = None

    def extract(self, index: int) -> Rows:
        return Rows([self.rows[index]], [self.positions[index]])

    def prepare(self, **padding: Any) -> None:
        """Padding concerns keys and values only."""

    def finalize(self) -> None:
        """As `prepare`."""

    def _penalised(self) -> list[int]:
        return [i for i, row in enumerate(self.rows) if row.penalised]

    def _tallied(self, vocabulary: int) -> Tally:
        if self._tally is None:
            self._tally = Tally.start([self.rows[i] for i in self._penalised()], vocabulary)
        return self._tally

    def penalise(self, logits: mx.array) -> mx.array:
        """Penalise the rows that ask for it, of logits with shape [rows, vocabulary]."""
        penalised = self._penalised()
        if not penalised:
            return logits
        at = mx.array(penalised)
        logits = logits.astype(mx.float32)
        tally = self._tallied(logits.shape[-1])
        logits[at] = tally.penalise(logits[at], [self.rows[i].sampling for i in penalised])
        return logits

    def sample(self, logprobs: mx.array) -> mx.array:
        """Choose a token for every row of logprobs, shape [rows, vocabulary]; returns shape [rows]."""
        if self._columns is None:
            self._columns = Columns.of([row.sampling for row in self.rows])
        tokens = mx.argmax(logprobs, axis=-1)
        sampled = self._columns.sampled
        if sampled:
            keys = mx.array([self.rows[i].key(self.positions[i]) for i in sampled], dtype=mx.uint32)
            if len(sampled) == len(self.rows):
                tokens = self._columns.draw(logprobs, keys)
            else:
                tokens[self._columns.at] = self._columns.draw(logprobs[self._columns.at], keys)
        self.positions = [position + 1 for position in self.positions]
        if self._tally is not None and (penalised := self._penalised()):
            self._tally = self._tally.add(tokens[mx.array(penalised)])
        return tokens


@dataclass(slots=True)
class Columns:
    """The sampled rows' parameters as device columns of shape [sampled rows, 1], rebuilt when rows change."""

    sampled: list[int]
    at: mx.array
    temperature: mx.array
    top_k: mx.array
    top_p: mx.array
    min_p: mx.array
    sorts: bool
    floors: bool

    @classmethod
    def of(cls, params: Seq[SamplingParams]) -> Columns:
        sampled = [i for i, p in enumerate(params) if p.temperature > 0]
        chosen = [params[i] for i in sampled]
        unlimited = 1 << 30
        return cls(
            sampled,
            mx.array(sampled, dtype=mx.int32),
            mx.array([[p.temperature] for p in chosen]),
            mx.array([[p.top_k or unlimited] for p in chosen]),
            mx.array([[p.top_p] for p in chosen]),
            mx.array([[p.min_p] for p in chosen]),
            sorts=any(p.top_k > 0 or p.top_p < 1 for p in chosen),
            floors=any(p.min_p > 0 for p in chosen),
        )

    def draw(self, logprobs: mx.array, keys: mx.array) -> mx.array:
        """Temperature, then top_k, top_p, min_p, then one Gumbel draw per row in vocabulary order.

        A row's result depends on its own logprobs, parameters and key alone.
        """
        logits = logprobs.astype(mx.float32) / self.temperature
        if self.sorts:
            logits = mx.where(logits < self._nucleus_floor(logits), -mx.inf, logits)
        if self.floors:
            floor = mx.max(logits, axis=-1, keepdims=True) + mx.log(self.min_p)
            logits = mx.where(logits < floor, -mx.inf, logits)
        noise = mx.vmap(lambda key: mx.random.gumbel(shape=(logits.shape[-1],), key=key))(keys)
        return mx.argmax(logits + noise, axis=-1)

    def _nucleus_floor(self, logits: mx.array) -> mx.array:
        """The smallest logit that top_k and top_p keep, shape [rows, 1]."""
        vocabulary = logits.shape[-1]
        ordered = -mx.sort(-logits, axis=-1)
        within_k = mx.where(mx.arange(vocabulary) < self.top_k, ordered, -mx.inf)
        probabilities = mx.softmax(within_k, axis=-1)
        before = mx.cumsum(probabilities, axis=-1) - probabilities
        # A top_p of 1 keeps all: rounding must not cut its tail.
        kept = ((before < self.top_p) | (self.top_p >= 1)) & (within_k > -mx.inf)
        last = mx.maximum(mx.sum(kept, axis=-1, keepdims=True) - 1, 0)
        return mx.take_along_axis(ordered, last, axis=-1)


class Sampled:
    """A model as BatchGenerator sees it: it takes the rows off the cache and keeps them for the sampler."""

    def __init__(self, model: nn.Module):
        self.model = model
        self._rows = Rows([])

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        *layers, self._rows = cache
        logits = self.model(inputs, cache=layers)
        if inputs.shape[1] > 1:
            return logits
        return self._rows.penalise(logits[:, -1, :])[:, None, :]

    def sample(self, logprobs: mx.array) -> mx.array:
        return self._rows.sample(logprobs)
