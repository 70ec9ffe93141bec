"""One request being generated, and what the engine puts in its outbox.

The engine thread owns every field but `outbox`, which the request's own thread empties.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import SimpleQueue

from webapp.engine.snapshot import RequestState
from webapp.errors import HearthError
from webapp.generation import FinishReason, InstalledModel, SamplingParams


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt. `checkpoints` are token counts where its KV is worth keeping for others."""

    tokens: tuple[int, ...]
    checkpoints: tuple[int, ...] = ()
    in_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The prompt is `done_tokens` of `total_tokens` computed, cached ones included."""

    done_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Token:
    id: int


@dataclass(frozen=True, slots=True)
class End:
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Failed:
    error: HearthError


Parcel = Progress | Token | End | Failed


@dataclass(eq=False, slots=True)
class Sequence:
    """A request inside the engine, from submit to its last token. Times are the engine clock's."""

    id: str
    model: InstalledModel
    prompt: Prompt
    sampling: SamplingParams
    max_tokens: int
    eos_ids: frozenset[int]
    submitted: float
    outbox: SimpleQueue[Parcel] = field(default_factory=SimpleQueue)
    state: RequestState = "waiting"
    cached_tokens: int = 0
    completion_tokens: int = 0
    leader: Sequence | None = None
