"""How fast the two databases take what many threads write at once.

    python tools/bench/store.py [--rows 200000] [--threads 128] [--writes 20]

hearth.db: each of the threads writes in transactions of its own. audit.db: rows are recorded by eight threads, through
the queue and its one writer into the file, and all of them can be read at the end.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from webapp.audit.log import MOST_WAITING, AuditLog
from webapp.settings.table import Settings
from webapp.store.audit import AuditRow
from webapp.store.database import Database
from webapp.store.schema import AUDIT, MIGRATIONS
from webapp.store.settings import SettingsStore
from webapp.wsgi.refusals import new_request_id

RECORDERS = 8
FULL_PAUSE_SECONDS = 0.001


def together(threads: int, work: Callable[[int], None]) -> float:
    """Seconds from the start of the first to the end of the last."""
    crowd = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    began = time.perf_counter()
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return time.perf_counter() - began


def write_settings(folder: Path, threads: int, writes: int) -> None:
    database = Database(folder / "hearth.db", MIGRATIONS)
    store, spans = SettingsStore(database), []

    def work(thread: int) -> None:
        for number in range(writes):
            began = time.perf_counter()
            store.save({f"setting{thread}": number})
            spans.append((time.perf_counter() - began) * 1000)

    seconds = together(threads, work)
    database.close()
    p99 = statistics.quantiles(spans, n=100)[-1]
    print(f"hearth.db  {threads} threads x {writes} writes: {len(spans) / seconds:,.0f} transactions/s,", end=" ")
    print(f"median {statistics.median(spans):.1f} ms, p99 {p99:.1f} ms, longest {max(spans):.1f} ms")


def record_rows(folder: Path, rows: int) -> None:
    log = AuditLog(Database(folder / "audit.db", AUDIT), Settings)
    ready = [a_row() for _ in range(rows)]
    pauses = []

    def work(recorder: int) -> None:
        for number in range(recorder, rows, RECORDERS):
            while log.waiting >= MOST_WAITING // 2:
                time.sleep(FULL_PAUSE_SECONDS)
            began = time.perf_counter()
            log.record(ready[number])
            pauses.append((time.perf_counter() - began) * 1e6)

    log.start()
    began = time.perf_counter()
    together(RECORDERS, work)
    assert log.flush(600), "the writer does not write"
    seconds = time.perf_counter() - began
    assert log.records.count() == rows and log.lost == 0
    size = log.used_bytes
    log.close()
    print(
        f"audit.db   {rows:,} rows: {rows / seconds:,.0f} rows/s into the file, {size / rows:.0f} bytes each;", end=" "
    )
    print(f"record() median {statistics.median(pauses):.1f} µs, p99 {statistics.quantiles(pauses, n=100)[-1]:.0f} µs")


def a_row() -> AuditRow:
    return AuditRow(
        id=new_request_id(), time=time.time(), kind="request", who="local", endpoint="/v1/chat/completions",
        model="mlx-community/Qwen3-4B-4bit", answered_by="mlx-community/Qwen3-4B-4bit", provider="local",
        status="ok", code="stop", queue_ms=1.2, ttft_ms=33.4, duration_ms=2000.1,
        prompt_tokens=100, cached_tokens=50, completion_tokens=200, reasoning_tokens=0,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the writing of both databases.")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=128)
    parser.add_argument("--writes", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        write_settings(Path(folder), options.threads, options.writes)
        record_rows(Path(folder), options.rows)


if __name__ == "__main__":
    main()
