"""The engine's published state: immutable, swapped whole, and read by any thread without a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelState = Literal["ready", "loading", "loaded", "draining", "failed"]
RequestState = Literal["waiting", "prefill", "decode"]


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """A model the pool knows: loaded, on its way in or out, or failed with a `reason`.

    `reserved_bytes` is the most KV that its running requests may need.
    """

    id: str
    state: ModelState
    pinned: bool
    leases: int
    running: int
    weights_bytes: int
    kv_bytes: int
    reserved_bytes: int
    prefix_cache_bytes: int
    idle_seconds: float
    unload_in_seconds: float | None = None
    reason: str | None = None

    @property
    def in_memory(self) -> bool:
        """Whether its weights are in memory, or on their way in or out."""
        return self.state in ("loading", "loaded", "draining")

    @property
    def failed(self) -> bool:
        """Whether its last load failed."""
        return self.state == "failed"

    @property
    def can_unload(self) -> bool:
        """Whether a person may unload it: a pinned model stays, and a draining one goes already."""
        return self.in_memory and self.state != "draining" and not self.pinned


@dataclass(frozen=True, slots=True)
class RequestSnapshot:
    id: str
    model: str
    state: RequestState
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    age_seconds: float
    tokens_per_second: float = 0.0
    waits_for_memory: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The engine between two steps. Bytes are of weights, KV and prefix cache together.

    `speeds`: tokens per second in each of the last spans of `history.SPAN_SECONDS`, oldest first.
    """

    limit_bytes: int
    used_bytes: int
    over_bytes: int
    prefix_cache_bytes: int
    policy: str
    models: tuple[ModelSnapshot, ...]
    requests: tuple[RequestSnapshot, ...]
    running: int
    waiting: int
    tokens_per_second: float
    speeds: tuple[float, ...]
    steps: int


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the engine thread steps; `reason` says why not."""

    ok: bool
    reason: str | None = None
