"""The interfaces of a loaded model and of a loader, as the engine uses them.

The engine steps runners without knowing MLX; tests drive it with a runner written in plain Python.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol

from webapp.engine.cache_budget import CacheBudget
from webapp.engine.prefill import Plan, Work
from webapp.engine.sequence import Likelihood, Sequence
from webapp.generation import FinishReason, InstalledModel


@dataclass(frozen=True, slots=True)
class Prefilled:
    """A sequence's prompt is computed up to `done_tokens`, including cached tokens."""

    sequence: Sequence
    done_tokens: int


@dataclass(frozen=True, slots=True)
class Decoded:
    sequence: Sequence
    token: int
    likelihood: Likelihood | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A sequence has ended after its last token; the runner has forgotten it."""

    sequence: Sequence
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Broken:
    """One sequence cannot go on, while the others can; the runner has forgotten it."""

    sequence: Sequence
    reason: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text as a vector of length 1; the runner has forgotten its sequence."""

    sequence: Sequence
    vector: list[float]


Output = Prefilled | Decoded | Finished | Broken | Embedded


@dataclass(frozen=True, slots=True)
class Step:
    """The outputs of a step, in order, and its work with the time it took."""

    outputs: Seq[Output]
    work: Work


class Runner(Protocol):
    """A loaded model. Every call is made on the engine thread.

    It only computes: what depends on a clock, on chance or on the state of a sequence is decided by the engine.
    """

    weights_bytes: int

    @property
    def kv_bytes(self) -> int:
        """KV cache of the sequences in the batch."""

    @property
    def prefix_cache_bytes(self) -> int:
        """Bytes of this model's prefix cache, a part of the budget of all."""

    def kv_bytes_for(self, lengths: Seq[int]) -> int:
        """The most KV bytes of a batch whose sequences reach these lengths in tokens, prompt and answer."""

    def sequences(self) -> Seq[Sequence]:
        """The sequences in the batch, in the order of admission; those that become vectors come last."""

    def admit(self, sequence: Sequence) -> int:
        """Take a sequence into prefill; returns how many tokens of its prompt the prefix cache holds.

        An error concerns this sequence alone.
        """

    def step(self, plan: Plan) -> Step:
        """Compute one more token for every answer, and the prompts and texts of the plan."""

    def cancel(self, sequence: Sequence) -> None:
        """Take a sequence out at once; the prompt it had computed stays in the prefix cache."""

    def reset(self) -> None:
        """Forget the batch and every sequence in it, after a step that raised."""

    def close(self) -> None:
        """Free weights, KV and prefix cache."""


class Loading(Protocol):
    """A model on its way into memory."""

    def advance(self) -> Runner | None:
        """Do a slice of the work, well under 250 ms; returns the runner once loaded. Raises when it cannot load."""

    def close(self) -> None:
        """Give up: free what was read so far."""


class Loader(Protocol):
    def memory_bytes(self) -> int:
        """Memory of the device that models are loaded to."""

    def estimate_bytes(self, model: InstalledModel) -> int:
        """Memory that loading will take at its peak."""

    def open(self, model: InstalledModel, caches: CacheBudget) -> Loading:
        """Begin to load. The runner's prefix cache obeys the budget that all models share."""
