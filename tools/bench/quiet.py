"""How busy other programs keep this machine while something is measured. Linux; elsewhere it never complains."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from webapp.program.bench.level import cpu_seconds

STAT = Path("/proc/stat")
LOOK_SECONDS = 0.5


class Others:
    """Measures from when it is made. `own` are the process ids that do not count; this process does not either."""

    def __init__(self, own: Sequence[int]):
        self._own = own
        self._started = time.perf_counter()
        self._before = self._used()

    def cores(self) -> float:
        """CPU time that others took since then, over wall time; stolen time of a virtual machine counts."""
        return max(0.0, self._used() - self._before) / (time.perf_counter() - self._started)

    def _used(self) -> float:
        if not STAT.exists():
            return 0.0
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, STAT.read_text().split()[1:9])
        everybody = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        mine = time.process_time() + sum(cpu_seconds(pid) or 0.0 for pid in self._own)
        return everybody - mine


def wait_for_quiet(own: Sequence[int], most_cores: float, patience_seconds: float) -> None:
    """Return as soon as others take less than that, or when patience ends."""
    deadline = time.perf_counter() + patience_seconds
    while time.perf_counter() < deadline:
        others = Others(own)
        time.sleep(LOOK_SECONDS)
        if others.cores() < most_cores:
            return
