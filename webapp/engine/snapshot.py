"""What the engine publishes about itself: immutable, swapped whole, read by anyone without a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelState = Literal["ready", "loading", "loaded", "draining", "failed"]
RequestState = Literal["waiting", "prefill", "decode"]


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """A model the pool knows: loaded, on its way in or out, or failed with a `reason`."""

    id: str
    state: ModelState
    pinned: bool
    leases: int
    weights_bytes: int
    kv_bytes: int
    idle_seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RequestSnapshot:
    id: str
    model: str
    state: RequestState
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The engine between two steps. Bytes are of weights, KV and prefix cache together."""

    limit_bytes: int
    used_bytes: int
    prefix_cache_bytes: int
    policy: str
    models: tuple[ModelSnapshot, ...]
    requests: tuple[RequestSnapshot, ...]
    running: int
    waiting: int
    tokens_per_second: float
    steps: int


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the engine thread steps; `reason` says why not."""

    ok: bool
    reason: str | None = None
