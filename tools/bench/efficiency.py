"""Server efficiency: the server's tokens per second over those of the bare loop, on the same work in the same run.

Server and bare loop are two processes that take turns, each idle while the other works, on a random-weight
model made on the spot; every prompt is new. A figure is the median over the repetitions, each one a pair.

    python tools/bench/efficiency.py [--size small] [--concurrency 1,4,16] [--repetitions 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quiet import Others, wait_for_quiet

from webapp.program.bench.bench import concurrencies
from webapp.program.bench.client import Client
from webapp.program.bench.level import Level, cpu_seconds, measure
from webapp.program.bench.prompts import Dialogue, Prompts

TOOLS = Path(__file__).resolve().parent.parent
READY = "Hearth is ready at "
STOP_SECONDS = 20
# A pair counts when other programs took less than this while it ran.
QUIET_CORES = 0.15
MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """One repetition: server and bare loop on the same prompts."""

    concurrency: int
    server_tokens_per_second: float
    bare_tokens_per_second: float
    server_ttft_ms: float
    bare_ttft_ms: float
    server_itl_ms: float
    server_cores: float
    idle_server_cores: float
    server_cpu_ms_per_token: float
    bare_cpu_ms_per_token: float
    cached_tokens: int
    same_texts: int
    others_cores: float

    @property
    def efficiency(self) -> float:
        return self.server_tokens_per_second / self.bare_tokens_per_second


class BareLoop:
    """The other process: one line in, one line out."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process
        self.pid = process.pid
        self._read()

    def answer(self, conversations: list[Dialogue], max_tokens: int) -> dict[str, Any]:
        """Greedy and free, whatever the server is asked beside the messages; tools are part of the prompt."""
        assert self._process.stdin
        asked = [{"messages": each.turns[0], "tools": each.fields.get("tools")} for each in conversations]
        self._process.stdin.write(json.dumps({"conversations": asked, "max_tokens": max_tokens}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the bare loop ended early")
        return dict(json.loads(line))


@dataclass(frozen=True, slots=True)
class Bench:
    client: Client
    server_pid: int
    bare: BareLoop
    max_tokens: int
    patience_seconds: float

    def pair(self, prompts: Prompts, concurrency: int, server_first: bool) -> Pair:
        """Both sides on the same new prompts."""
        conversations = [prompts.dialogue() for _ in range(concurrency)]
        own = (self.server_pid, self.bare.pid)
        wait_for_quiet(own, QUIET_CORES, self.patience_seconds)
        others = Others(own)
        if server_first:
            level = self._serve(conversations)
            bare, idle_cores = self._loop(conversations)
        else:
            bare, idle_cores = self._loop(conversations)
            level = self._serve(conversations)
        others_cores = others.cores()
        if bare["prompt_tokens"] != level.prompt_tokens:
            raise SystemExit(f"prompts of {bare['prompt_tokens']} tokens, in the server {level.prompt_tokens}")
        expected = concurrency * self.max_tokens
        if bare["tokens"] != expected or level.completion_tokens != expected or level.errors:
            raise SystemExit(f"{bare['tokens']} and {level.completion_tokens} of {expected} tokens; {level.errors}")
        return Pair(
            concurrency=concurrency,
            server_tokens_per_second=level.tokens_per_second,
            bare_tokens_per_second=bare["tokens"] / bare["seconds"],
            server_ttft_ms=level.ttft_ms.p50,
            bare_ttft_ms=statistics.median(bare["ttft_seconds"]) * 1000,
            server_itl_ms=level.itl_ms.p50,
            server_cores=level.server_cores or 0.0,
            idle_server_cores=idle_cores,
            server_cpu_ms_per_token=(level.server_cores or 0.0) * level.seconds * 1000 / expected,
            bare_cpu_ms_per_token=bare["cpu_seconds"] * 1000 / expected,
            cached_tokens=level.cached_tokens,
            same_texts=sum(a == b for a, b in zip(level.texts, bare["texts"], strict=True)),
            others_cores=others_cores,
        )

    def _serve(self, conversations: list[Dialogue]) -> Level:
        return measure(self.client, [[each] for each in conversations], self.server_pid)

    def _loop(self, conversations: list[Dialogue]) -> tuple[dict[str, Any], float]:
        """The bare loop's answer, and the cores that the idle server took meanwhile."""
        started, before = time.perf_counter(), cpu_seconds(self.server_pid) or 0.0
        answer = self.bare.answer(conversations, self.max_tokens)
        return answer, ((cpu_seconds(self.server_pid) or 0.0) - before) / (time.perf_counter() - started)


@contextmanager
def started(command: list[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended, politely at first, when the block is left."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, **more)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def hearth(models: Path, data: Path) -> Iterator[tuple[str, int]]:
    """A fresh server that sees only these models; its address and process id."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
    command = ["-m", "webapp", "serve", "--port", "0", "--strict-port", "--no-browser", "--log-level", "warning"]
    folders = ["--models-dir", str(models), "--data-dir", str(data)]
    with started([*command, *folders], env=clean | {"HF_HOME": str(data / "hub")}) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(READY):
                yield line.removeprefix(READY).strip(), process.pid
                return
        raise SystemExit(f"the server did not start (status {process.wait()})")


def compare(arguments: argparse.Namespace, folder: Path) -> list[Pair]:
    model = folder / "models" / "bench" / arguments.size
    maker = [str(TOOLS / "tiny_models.py"), str(model), "--architecture", arguments.architecture]
    subprocess.run([sys.executable, *maker, "--size", arguments.size], check=True, stdout=subprocess.DEVNULL)
    loop = [str(TOOLS / "bench" / "bare_loop.py"), str(model)]
    with (
        hearth(folder / "models", folder / "data") as (url, pid),
        started(loop, stdin=subprocess.PIPE) as process,
    ):
        client = Client(url, f"bench/{arguments.size}", arguments.max_tokens)
        bench = Bench(client, pid, BareLoop(process), arguments.max_tokens, arguments.patience)
        prompts = Prompts(arguments.prompt, arguments.seed, arguments.max_tokens)
        numbers = concurrencies(arguments.concurrency)
        for number in numbers:
            bench.pair(prompts, number, server_first=True)  # warms up both
        return [pair for number in numbers for pair in repeat(bench, prompts, number, arguments.repetitions)]


def repeat(bench: Bench, prompts: Prompts, concurrency: int, repetitions: int) -> Iterator[Pair]:
    """Until enough pairs were quiet, or the machine was too busy too often."""
    quiet = 0
    for attempt in range(MOST_TRIES * repetitions):
        if quiet == repetitions:
            return
        pair = bench.pair(prompts, concurrency, server_first=attempt % 2 == 0)
        quiet += pair.others_cores < QUIET_CORES
        shown = f"{concurrency:3} clients: {pair.efficiency:.3f}, other programs took {pair.others_cores:.2f} cores"
        print(shown, file=sys.stderr, flush=True)
        yield pair


def table(pairs: list[Pair]) -> Iterator[dict[str, float]]:
    """One row of medians per concurrency, over the quiet pairs if there are any."""
    for concurrency in dict.fromkeys(pair.concurrency for pair in pairs):
        all_of_it = [pair for pair in pairs if pair.concurrency == concurrency]
        own = [pair for pair in all_of_it if pair.others_cores < QUIET_CORES] or all_of_it
        efficiencies = [pair.efficiency for pair in own]
        row = {name: statistics.median(asdict(pair)[name] for pair in own) for name in asdict(own[0])}
        yield row | {
            "pairs": len(own),
            "efficiency": statistics.median(efficiencies),
            "efficiency_min": min(efficiencies),
            "efficiency_max": max(efficiencies),
        }


def show(rows: list[dict[str, float]]) -> None:
    print("         tok/s           efficiency         TTFT ms       CPU ms/token   ITL   idle   same    pairs others")
    print("clients  server    bare         (min-max)   server  bare  server  bare    ms  cores   text           cores")
    for row in rows:
        print(
            f"{row['concurrency']:7.0f} {row['server_tokens_per_second']:7.1f} {row['bare_tokens_per_second']:7.1f} "
            f"{row['efficiency']:7.3f} ({row['efficiency_min']:.2f}-{row['efficiency_max']:.2f}) "
            f"{row['server_ttft_ms']:8.0f} {row['bare_ttft_ms']:5.0f} "
            f"{row['server_cpu_ms_per_token']:7.2f} {row['bare_cpu_ms_per_token']:5.2f} {row['server_itl_ms']:5.1f} "
            f"{row['idle_server_cores']:6.2f} {row['same_texts']:4.0f}/{row['concurrency']:<2.0f} "
            f"{row['pairs']:7.0f} {row['others_cores']:6.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the server with the bare BatchGenerator loop.")
    parser.add_argument("--architecture", default="qwen3")
    parser.add_argument("--size", default="small")
    parser.add_argument("--prompt", default="short", choices=("short", "long", "mixed"))
    parser.add_argument("--concurrency", default="1,4,16")
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds to wait for a quiet machine, each time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        pairs = compare(arguments, Path(folder))
    rows = list(table(pairs))
    show(rows)
    if any(row["others_cores"] >= QUIET_CORES for row in rows):
        print("Other programs were busy all the time: take the ratios with care.")
    if arguments.json:
        report = {"size": arguments.size, "prompt": arguments.prompt, "max_tokens": arguments.max_tokens}
        repetitions = [asdict(pair) | {"efficiency": pair.efficiency} for pair in pairs]
        arguments.json.write_text(json.dumps(report | {"levels": rows, "repetitions": repetitions}, indent=2) + "\n")


if __name__ == "__main__":
    main()
