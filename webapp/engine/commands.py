"""The commands that other threads post to the engine."""

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
    """Obey new limits. `effects` receives sentences about what happened."""

    limits: Limits
    effects: Future[list[str]] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model. `done` completes when it is loaded, or fails with the reason."""

    model: InstalledModel
    done: Future[None] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Unload:
    """Unload a model. `effect` receives a sentence about what happens, or fails with Conflict."""

    model_id: str
    effect: Future[str] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Stop:
    """Fail what still runs and end the thread."""


Command = Submit | Cancel | Configure | Load | Unload | Stop
