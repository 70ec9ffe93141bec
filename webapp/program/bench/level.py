"""Measures all answers at one number of clients, and sums them up."""

from __future__ import annotations

import http.client
import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from webapp.errors import HearthError
from webapp.program.bench.client import Client, Sample
from webapp.program.bench.prompts import Dialogue


@dataclass(frozen=True, slots=True)
class Percentiles:
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Level:
    """All answers at one concurrency. Times in milliseconds; `server_cores` is CPU time over wall time."""

    concurrency: int
    seconds: float
    tokens_per_second: float
    ttft_ms: Percentiles
    itl_ms: Percentiles
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    server_cores: float | None
    requests: int
    errors: tuple[str, ...] = ()
    texts: tuple[str, ...] = field(default=(), repr=False)


def measure(client: Client, conversations: Sequence[Sequence[Dialogue]], pid: int | None) -> Level:
    """Start one thread per entry, all at once; each holds its dialogues one after the other."""
    start = threading.Barrier(len(conversations) + 1)

    def hold(own: Sequence[Dialogue]) -> tuple[list[Sample], list[str]]:
        samples: list[Sample] = []
        errors: list[str] = []
        start.wait()
        for conversation in own:
            try:
                samples += client.converse(conversation)
            except (HearthError, OSError, http.client.HTTPException, ValueError) as error:
                errors.append(str(error) or type(error).__name__)
        return samples, errors

    with ThreadPoolExecutor(len(conversations)) as threads:
        futures = [threads.submit(hold, own) for own in conversations]
        start.wait()
        started, cpu_before = time.perf_counter(), cpu_seconds(pid)
        results = [future.result() for future in futures]
        seconds, cpu_after = time.perf_counter() - started, cpu_seconds(pid)
    cores = None if cpu_before is None or cpu_after is None else (cpu_after - cpu_before) / seconds
    samples = [sample for found, _ in results for sample in found]
    errors = [error for _, found in results for error in found]
    return summary(len(conversations), seconds, samples, errors, cores)


def summary(
    concurrency: int, seconds: float, samples: Sequence[Sample], errors: Sequence[str], cores: float | None
) -> Level:
    tokens = sum(sample.completion_tokens for sample in samples)
    return Level(
        concurrency=concurrency,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        ttft_ms=percentiles([sample.ttft_seconds * 1000 for sample in samples]),
        itl_ms=percentiles([gap * 1000 for sample in samples for gap in sample.gaps_seconds]),
        prompt_tokens=sum(sample.prompt_tokens for sample in samples),
        cached_tokens=sum(sample.cached_tokens for sample in samples),
        completion_tokens=tokens,
        server_cores=cores,
        requests=len(samples),
        errors=tuple(errors),
        texts=tuple(sample.text for sample in samples),
    )


def percentiles(values: Sequence[float]) -> Percentiles:
    """The percentiles 50, 95, 99 and the maximum, by nearest rank; zeros without values."""
    ranked = sorted(values) or [0.0]

    def at(share: float) -> float:
        return ranked[math.ceil(share * len(ranked)) - 1]

    return Percentiles(at(0.50), at(0.95), at(0.99), ranked[-1])


def cpu_seconds(pid: int | None) -> float | None:
    """CPU seconds that a process of this machine has used, from /proc or `ps`; None if unknown."""
    if pid is None:
        return None
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    shown = subprocess.run(["ps", "-o", "cputime=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    parts = [float(part) for part in re.findall(r"[0-9.]+", shown)]
    return sum(part * 60**power for power, part in enumerate(reversed(parts))) if parts else None
