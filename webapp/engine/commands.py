"""What other threads ask of the engine."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from webapp.engine.limits import Limits
from webapp.engine.sequence import Sequence
from webapp.generation import Canceller, InstalledModel


@dataclass(frozen=True, slots=True)
class Submit:
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Cancel:
    sequence_id: str
    by: Canceller


@dataclass(frozen=True, slots=True)
class Configure:
    """`effects` gets what happened, in words."""

    limits: Limits
    effects: Future[list[str]] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Load:
    """`done` hears when the model is loaded, or why it will not be."""

    model: InstalledModel
    done: Future[None] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Unload:
    """`effect` gets what happens, in words, or the Conflict."""

    model_id: str
    effect: Future[str] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Stop:
    """Fail what still runs and end the thread."""


Command = Submit | Cancel | Configure | Load | Unload | Stop
