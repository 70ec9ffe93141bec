"""How each row of a batch samples its next token, in one call for the whole batch.

`Rows` poses as one more layer of the KV cache: BatchGenerator merges, extends and filters it together
with the keys and values, so every row's parameters move with the row when others join or leave.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from webapp.engine.mlx.grammar.bitmask import WORD_BITS
from webapp.engine.sequence import AnswerConstraint
from webapp.generation import SamplingParams

WORD = 0xFFFFFFFF
# Added to the key, so that XTC's draw differs from the token's draw at the same row and position.
XTC_KEY = (0, 1 << 31)
# At lower temperatures only the likeliest token is left, and float32 cannot divide by some of them.
COLDEST = 1e-5


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's sampling; `prompt` is set only if a penalty counts it. XTC never leaves out `ends`."""

    sampling: SamplingParams
    seed: int
    prompt: tuple[int, ...] = ()
    constraint: AnswerConstraint | None = None
    ends: frozenset[int] = frozenset()

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
        """Does nothing: padding concerns keys and values only."""

    def finalize(self) -> None:
        """Does nothing, for the same reason as `prepare`."""

    def _penalised(self) -> list[int]:
        return [i for i, row in enumerate(self.rows) if row.penalised]

    def _tallied(self, vocabulary: int) -> Tally:
        if self._tally is None:
            self._tally = Tally.start([self.rows[i] for i in self._penalised()], vocabulary)
        return self._tally

    def shape(self, logits: mx.array, latest: mx.array) -> mx.array:
        """Apply bias, grammars and penalties to logits [rows, vocabulary]; `latest` are the tokens that led to them."""
        return self._constrain(self._bias(self.penalise(logits)), latest)

    def _bias(self, logits: mx.array) -> mx.array:
        places = [(i, token, bias) for i, row in enumerate(self.rows) for token, bias in row.sampling.logit_bias]
        if not places:
            return logits
        rows, tokens, biases = (mx.array(column) for column in zip(*places, strict=True))
        return logits.astype(mx.float32).at[rows, tokens].add(biases)

    def _constrain(self, logits: mx.array, latest: mx.array) -> mx.array:
        """Mask tokens that a constraint forbids. Only a batch with a constrained row waits here for the last tokens."""
        bound = [i for i, row in enumerate(self.rows) if row.constraint]
        if not bound:
            return logits
        tokens = np.array(latest)  # waits for the step before
        words = np.zeros((len(bound), -(-logits.shape[-1] // WORD_BITS)), dtype=np.int32)
        for rank, i in enumerate(bound):
            constraint = self.rows[i].constraint
            assert constraint is not None
            if self.positions[i] > 0:
                constraint.consume(int(tokens[i]))
            constraint.fill(words[rank])
        at = mx.array(bound)
        logits[at] = mx.where(allowed(mx.array(words), logits.shape[-1]), logits[at], -mx.inf)
        return logits

    def penalise(self, logits: mx.array) -> mx.array:
        """Apply the penalties of the rows that have any; logits have shape [rows, vocabulary]."""
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
            self._columns = Columns.of(self.rows)
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


def allowed(words: mx.array, vocabulary: int) -> mx.array:
    """Bits of shape [rows, words] as booleans of shape [rows, vocabulary]; lowest bit first."""
    bits = (words[:, :, None] >> mx.arange(WORD_BITS)) & 1
    return bits.reshape(words.shape[0], -1)[:, :vocabulary].astype(mx.bool_)


@dataclass(slots=True)
class Columns:
    """The sampled rows' parameters as device columns of shape [sampled rows, 1], rebuilt when rows change."""

    sampled: list[int]
    at: mx.array
    temperature: mx.array
    top_k: mx.array
    top_p: mx.array
    min_p: mx.array
    xtc_probability: mx.array
    xtc_threshold: mx.array
    ends: list[tuple[int, int]]
    sorts: bool
    floors: bool
    excludes: bool

    @classmethod
    def of(cls, rows: Seq[Row]) -> Columns:
        sampled = [i for i, row in enumerate(rows) if row.sampling.temperature > COLDEST]
        chosen = [rows[i].sampling for i in sampled]
        unlimited = 1 << 30
        return cls(
            sampled,
            mx.array(sampled, dtype=mx.int32),
            mx.array([[p.temperature] for p in chosen]),
            mx.array([[p.top_k or unlimited] for p in chosen]),
            mx.array([[p.top_p] for p in chosen]),
            mx.array([[p.min_p] for p in chosen]),
            mx.array([[p.xtc_probability] for p in chosen]),
            mx.array([[p.xtc_threshold] for p in chosen]),
            [(rank, token) for rank, i in enumerate(sampled) for token in rows[i].ends],
            sorts=any(p.top_k > 0 or p.top_p < 1 for p in chosen),
            floors=any(p.min_p > 0 for p in chosen),
            excludes=any(p.xtc_probability > 0 for p in chosen),
        )

    def draw(self, logprobs: mx.array, keys: mx.array) -> mx.array:
        """XTC, temperature, then top_k, top_p, min_p, then one Gumbel draw per row in vocabulary order.

        A row's result depends on its own logprobs, parameters and key alone.
        """
        logits = logprobs.astype(mx.float32)
        if self.excludes:
            logits = self._exclude_top(logits, keys)
        logits = logits / self.temperature
        if self.sorts:
            logits = mx.where(logits < self._nucleus_floor(logits), -mx.inf, logits)
        if self.floors:
            floor = mx.max(logits, axis=-1, keepdims=True) + mx.log(self.min_p)
            logits = mx.where(logits < floor, -mx.inf, logits)
        noise = mx.vmap(lambda key: mx.random.gumbel(shape=(logits.shape[-1],), key=key))(keys)
        return mx.argmax(logits + noise, axis=-1)

    def _exclude_top(self, logits: mx.array, keys: mx.array) -> mx.array:
        """XTC: with its probability, excludes all tokens above the threshold but the least likely of them."""
        chance = mx.vmap(lambda key: mx.random.uniform(key=key))(keys ^ mx.array(XTC_KEY, dtype=mx.uint32))
        probabilities = mx.softmax(logits, axis=-1)
        above = probabilities > self.xtc_threshold
        least = mx.min(mx.where(above, probabilities, mx.inf), axis=-1, keepdims=True)
        excluded = above & (probabilities > least) & (chance[:, None] < self.xtc_probability)
        if self.ends:
            rows, tokens = (mx.array(column) for column in zip(*self.ends, strict=True))
            excluded[rows, tokens] = False
        return mx.where(excluded, -mx.inf, logits)

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
        return self._rows.shape(logits[:, -1, :], inputs[:, 0])[:, None, :]

    def sample(self, logprobs: mx.array) -> mx.array:
        return self._rows.sample(logprobs)
