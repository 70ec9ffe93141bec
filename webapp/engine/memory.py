"""How much memory models may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

Mode = Literal["gb", "percent"]
GB = 1_000_000_000
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """An amount in GB (10^9 bytes) or in percent of the device's memory; None leaves a reserve for everything else."""

    mode: Mode = "gb"
    amount: float | None = None

    def bytes_of(self, total_bytes: int) -> int:
        if self.amount is None:
            return _all_but_reserve(total_bytes)
        return int(self.amount * (GB if self.mode == "gb" else total_bytes / 100))


ALL_BUT_RESERVE = MemoryLimit()


def machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _all_but_reserve(total_bytes: int) -> int:
    """The total minus a reserve: a quarter of it, but at least 4 GiB, at most 8 GiB, and never over half the total."""
    reserve = min(max(total_bytes // 4, 4 * GIB), 8 * GIB)
    return max(total_bytes - reserve, total_bytes // 2)
