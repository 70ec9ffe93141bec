"""One request being generated, and what the engine puts in its outbox.

The engine thread owns every field but `outbox`, which the request's own thread empties.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

from webapp.engine.limits import Timeouts
from webapp.engine.snapshot import RequestState
from webapp.errors import HearthError, OutOfMemory
from webapp.generation import Canceller, FinishReason, InstalledModel, SamplingParams


class AnswerConstraint(Protocol):
    """Limits an answer's next token. Engine thread only; `broken` says why the answer can no longer follow it."""

    broken: str | None

    def consume(self, token: int) -> None:
        """Take the token that was sampled last."""

    def fill(self, words: Any) -> None:
        """Set the bit of each token that may come next in an array of int32, lowest bit first."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt. `checkpoints` are token counts where its KV is worth storing for others.

    `open_ended`: the answer continues the prompt's last words instead of beginning a new text.
    """

    tokens: tuple[int, ...]
    checkpoints: tuple[int, ...] = ()
    in_reasoning: bool = False
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """`done_tokens` of the prompt's `total_tokens` are computed, including cached ones."""

    done_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a token was, and the likeliest ones at its place, best first; natural logarithms."""

    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    likelihood: Likelihood | None = None


@dataclass(frozen=True, slots=True)
class End:
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Failed:
    error: HearthError


@dataclass(frozen=True, slots=True)
class Vector:
    values: list[float]


Parcel = Progress | Token | Vector | End | Failed


@dataclass(eq=False, slots=True)
class Sequence:
    """A request inside the engine, or a part of one, from submit to its last token. Times are the engine clock's.

    `request_id` is that of the whole request. `owner`: the name of the API key it came with, or None for a person at
    this machine. `embeds`: its prompt becomes a vector, and no tokens follow. `length_is_ours`: the client set no
    `max_tokens`, so memory may shorten it. `top_logprobs`: how many likely tokens to report at each place.
    `ticket`: order of arrival. `timeouts`: those it was admitted under. `refusal`: while it waits for memory,
    the error of its timeout. `seed`: the request's, or one drawn at admission. `done_tokens`: how much of the prompt is
    computed, the `cached_tokens` of the prefix cache included.
    """

    id: str
    request_id: str
    owner: str | None
    model: InstalledModel
    prompt: Prompt
    sampling: SamplingParams
    max_tokens: int
    eos_ids: frozenset[int]
    submitted: float
    length_is_ours: bool = False
    embeds: bool = False
    top_logprobs: int | None = None
    constraint: AnswerConstraint | None = None
    outbox: SimpleQueue[Parcel] = field(default_factory=SimpleQueue)
    state: RequestState = "waiting"
    ticket: int = 0
    timeouts: Timeouts | None = None
    refusal: OutOfMemory | None = None
    first_token: float | None = None
    seed: int = 0
    cached_tokens: int = 0
    done_tokens: int = 0
    completion_tokens: int = 0
    leader: Sequence | None = None
    cancelled_by: Canceller | None = None

    @property
    def most_tokens(self) -> int:
        """Tokens of the prompt and of the longest possible answer together."""
        return len(self.prompt.tokens) + self.max_tokens
