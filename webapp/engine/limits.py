"""The engine's limits in its own units, made from the settings. The engine swaps them whole between two steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from webapp.engine.memory import ALL_BUT_RESERVE, MemoryLimit

Policy = Literal["lru", "lfu", "ttl"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds after submit at which a request ends with TimedOut; 0 means never."""

    queue_seconds: float = 0.0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Limits of the pool. `max_models` 0 means any number; `idle_seconds` 0 never unloads an idle model.

    `prefix_cache_bytes` is for the prefix caches of all models together.
    """

    memory: MemoryLimit = ALL_BUT_RESERVE
    policy: Policy = "lru"
    idle_seconds: float = 0.0
    idle_seconds_of: Mapping[str, float] = field(default_factory=dict)
    max_models: int = 0
    pinned: frozenset[str] = frozenset()
    prefix_cache_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of the engine. Running sequences keep the timeouts they were admitted under."""

    batch_size: int = 32
    max_waiting: int = 256
    prefill_tokens: int = 2048
    stall_seconds: float = 0.1
    timeouts: Timeouts = Timeouts()
    pool: PoolLimits = PoolLimits()
