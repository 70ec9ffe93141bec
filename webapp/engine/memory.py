"""How much of the machine's memory models may take when nobody set a limit."""

from __future__ import annotations

import os

GIB = 1 << 30


def machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def default_limit_bytes() -> int:
    """The machine's memory less a quarter, at least 4 and at most 8 GiB, for everything else."""
    total = machine_bytes()
    reserve = min(max(total // 4, 4 * GIB), 8 * GIB)
    return max(total - reserve, total // 2)
