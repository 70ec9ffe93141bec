"""Starts the built program, chats, and stops it, again and again: every end must be an orderly one.

python -m tools.package.rounds [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tools.package.report import PROGRAM, first_chat_seconds, served

ROUNDS = 30


def main(rounds: int) -> int:
    ends, ready = [], []
    with tempfile.TemporaryDirectory() as data:
        for _ in range(rounds):
            with served(PROGRAM, Path(data)) as (process, url, seconds):
                first_chat_seconds(url)
                began = time.perf_counter()
            ends.append(process.returncode)
            ready.append(seconds)
            print(f"ready {seconds:.2f} s, stopped {time.perf_counter() - began:.2f} s, status {process.returncode}")
    print(
        f"{ends.count(0)} of {rounds} ended with status 0; ready after {sorted(ready)[rounds // 2]:.2f} s at the median"
    )
    return 0 if set(ends) == {0} else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
