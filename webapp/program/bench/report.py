"""The figures of the bench as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from webapp.program.bench.level import Level
from webapp.program.bench.prompts import Kind

HEADER = f"{'clients':>7} {'tok/s':>8} {'TTFT p50':>9} {'p95':>7} {'ITL p50':>8} {'p95':>7} {'p99':>7} {'max':>7} " + (
    f"{'cores':>6} {'cached':>7} {'requests':>9}"
)


def line(level: Level) -> str:
    """A row of the table; times in milliseconds."""
    ttft, itl = level.ttft_ms, level.itl_ms
    cached = level.cached_tokens / level.prompt_tokens if level.prompt_tokens else 0.0
    cores = "-" if level.server_cores is None else f"{level.server_cores:.2f}"
    failed = f" ({len(level.errors)} failed: {level.errors[0]})" if level.errors else ""
    return (
        f"{level.concurrency:7} {level.tokens_per_second:8.1f} {ttft.p50:9.1f} {ttft.p95:7.1f} "
        f"{itl.p50:8.1f} {itl.p95:7.1f} {itl.p99:7.1f} {itl.max:7.1f} {cores:>6} {cached:7.0%} "
        f"{level.requests:9}{failed}"
    )


def write_json(path: Path, model: str, kind: Kind, max_tokens: int, levels: Sequence[Level]) -> None:
    shown = [{name: value for name, value in asdict(level).items() if name != "texts"} for level in levels]
    report = {"model": model, "prompt": kind, "max_tokens": max_tokens, "levels": shown}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
