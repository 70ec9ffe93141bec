"""The load client against a real server, and its arithmetic."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from webapp.errors import HearthError, InvalidRequest
from webapp.program.bench.bench import concurrencies, run
from webapp.program.bench.client import Client, first_model
from webapp.program.bench.level import Percentiles, cpu_seconds, measure, percentiles
from webapp.program.bench.prompts import Prompts
from webapp.program.bench.report import line


@dataclass(frozen=True)
class Target:
    url: str
    pid: int = os.getpid()


def arguments(model: str | None, prompt: str, json_file: Path | None = None) -> argparse.Namespace:
    return argparse.Namespace(model=model, concurrency="1,2", prompt=prompt, max_tokens=6, json=json_file, key=None)


@pytest.mark.parametrize(("kind", "answers"), [("short", 2), ("long", 2), ("shared", 2), ("multi", 6), ("mixed", 2)])
def test_every_kind_of_prompt_is_measured(hearth: Any, tmp_path: Path, capsys: Any, kind: str, answers: int) -> None:
    file = tmp_path / "figures.json"
    assert run(Target(hearth.base_url), arguments(hearth.models[0], kind, file)) == 0
    report = json.loads(file.read_text())
    assert report["model"] == hearth.models[0]
    for level, clients in zip(report["levels"], (1, 2), strict=True):
        assert level["concurrency"] == clients
        assert level["requests"] == answers * clients
        assert level["completion_tokens"] == 6 * answers * clients
        assert level["errors"] == []
        assert 0 < level["ttft_ms"]["p50"] <= level["ttft_ms"]["p99"] <= level["ttft_ms"]["max"]
        assert level["itl_ms"]["p50"] > 0
        assert level["tokens_per_second"] == pytest.approx(level["completion_tokens"] / level["seconds"])
    cached = [level["cached_tokens"] / level["prompt_tokens"] for level in report["levels"]]
    if kind in ("shared", "multi"):
        assert cached[-1] > 0.3
    else:
        assert max(cached) < 0.3, "unique prompts share no more than the template"
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_first_model_is_the_default(hearth: Any) -> None:
    assert first_model(hearth.base_url)


def test_what_the_server_refuses_is_said(hearth: Any, capsys: Any) -> None:
    assert run(Target(hearth.base_url), arguments("no/such-model", "short")) == 1
    assert "no/such-model" in capsys.readouterr().err


def test_no_server_is_said(capsys: Any) -> None:
    assert run(Target("http://127.0.0.1:9"), arguments("any", "short")) == 1
    assert "refused" in capsys.readouterr().err.lower()


def test_failed_requests_are_counted_not_raised(hearth: Any) -> None:
    client = Client(hearth.base_url, "no/such-model", 4)
    with pytest.raises(HearthError, match="status 404"):
        client.stream([{"role": "user", "content": "?"}])
    prompts = Prompts("short", 1, 4)
    level = measure(client, [[prompts.dialogue()], [prompts.dialogue()]], None)
    assert len(level.errors) == 2
    assert (level.requests, level.tokens_per_second, level.server_cores) == (0, 0, None)
    assert "2 failed" in line(level)


def test_prompts_are_unique_and_repeatable() -> None:
    first, same, other = (Prompts("short", salt, 4) for salt in (1, 1, 2))
    asked = [first.dialogue().turns[0][0]["content"] for _ in range(50)]
    assert len(set(asked)) == 50
    assert asked == [same.dialogue().turns[0][0]["content"] for _ in range(50)]
    assert asked[0] != other.dialogue().turns[0][0]["content"]
    shared = Prompts("shared", 1, 4)
    assert shared.dialogue().turns[0][0] == shared.dialogue().turns[0][0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], (0, 0, 0, 0)), ([7], (7, 7, 7, 7)), (list(range(100, 0, -1)), (50, 95, 99, 100)), ([1, 2], (1, 2, 2, 2))],
)
def test_percentiles_by_nearest_rank(values: list[float], expected: tuple[float, ...]) -> None:
    assert percentiles(values) == Percentiles(*expected)


@pytest.mark.parametrize("text", ["", "0", "1,-2", "1,,2", "many"])
def test_concurrency_is_checked(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--concurrency"):
        concurrencies(text)


def test_cpu_time_of_a_process() -> None:
    before = cpu_seconds(os.getpid())
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass
    after = cpu_seconds(os.getpid())
    assert before is not None and after is not None and 0.05 <= after - before < 5
    assert cpu_seconds(None) is None
