"""`hearth bench`: clients that stream chats from a server at the same time, and what they saw.

It speaks HTTP like any client and knows nothing of the program it measures but its address and process id.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import math
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlsplit

from webapp.errors import HearthError, InvalidRequest

Kind = Literal["short", "long", "shared", "multi", "mixed"]
Message = dict[str, str]

REQUEST_TIMEOUT_SECONDS = 600.0
REQUESTS_PER_CLIENT = 2
WARM_UP_TOKENS = 8
LONG_WORDS = 600
SHARED_WORDS = 600
TURNS = 3
WORDS = (
    "river",
    "stone",
    "lamp",
    "garden",
    "letter",
    "window",
    "morning",
    "paper",
    "bridge",
    "silver",
    "winter",
    "story",
)


class Server(Protocol):
    """The server to measure."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a client adds before each answer, and what its requests say beside the messages."""

    turns: Sequence[Sequence[Message]]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer as its client saw it. `gaps_seconds` lie between two pieces of text."""

    ttft_seconds: float
    duration_seconds: float
    gaps_seconds: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    text: str


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


class Prompts:
    """Conversations of one kind, no two of them alike: a salted first word keeps the prefix cache out of it."""

    def __init__(self, kind: Kind, salt: int, max_tokens: int):
        self._kind = kind
        self._random = random.Random(salt)
        self._shared = self._words(SHARED_WORDS)
        self._mixture = itertools.cycle((dict[str, Any], self._seeded, self._form, self._calling))
        # More numbers than fit: no answer ends early, and all sides have the same work.
        self._numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 4 * max_tokens}

    def conversation(self) -> Conversation:
        match self._kind:
            case "short":
                return Conversation([[self._user(12)]])
            case "long":
                return Conversation([[self._user(LONG_WORDS)]])
            case "shared":
                return Conversation([[{"role": "system", "content": self._shared}, self._user(12)]])
            case "multi":
                return Conversation([[self._user(40)] for _ in range(TURNS)])
            case "mixed":
                return Conversation([[self._user(12)]], next(self._mixture)())

    def _seeded(self) -> dict[str, Any]:
        return {"seed": self._random.getrandbits(32), "temperature": 1, "top_k": 20}

    def _form(self) -> dict[str, Any]:
        form = {"name": "numbers", "schema": self._numbers}
        return {"response_format": {"type": "json_schema", "json_schema": form}}

    def _calling(self) -> dict[str, Any]:
        """Tools come first in most prompts, so each has a name of its own."""
        parameters = {"type": "object", "properties": {"numbers": self._numbers}, "required": ["numbers"]}
        function = {"name": f"{self._random.getrandbits(32):08x}_add", "parameters": parameters}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}

    def _user(self, words: int) -> Message:
        return {"role": "user", "content": f"{self._random.getrandbits(32):08x} {self._words(words)}"}

    def _words(self, count: int) -> str:
        return " ".join(self._random.choices(WORDS, k=count))


class Client:
    """Streams chat completions, greedy, from one base URL."""

    def __init__(self, base_url: str, model: str, max_tokens: int, key: str | None = None):
        self._address = urlsplit(base_url).netloc
        self._headers = {"Content-Type": "application/json"} | _authorization(key)
        self._model = model
        self._max_tokens = max_tokens

    def converse(self, conversation: Conversation) -> Iterator[Sample]:
        """Each answer is part of the next prompt."""
        messages: list[Message] = []
        for turn in conversation.turns:
            messages += turn
            sample = self.stream(messages, conversation.fields)
            messages.append({"role": "assistant", "content": sample.text})
            yield sample

    def stream(self, messages: Sequence[Message], fields: Mapping[str, Any] = MappingProxyType({})) -> Sample:
        """One answer. Raises HearthError with what the server said instead, OSError when it is not there."""
        body = {
            "model": self._model,
            "messages": messages,
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **fields,
        }
        connection = http.client.HTTPConnection(self._address, timeout=REQUEST_TIMEOUT_SECONDS)
        started = time.perf_counter()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), self._headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise HearthError(f"status {response.status}: {response.read(500).decode(errors='replace')}")
            return _read_stream(response, started)
        finally:
            connection.close()


def _read_stream(response: http.client.HTTPResponse, started: float) -> Sample:
    text: list[str] = []
    times: list[float] = []
    usage: dict[str, Any] | None = None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            raise HearthError(f"in the stream: {chunk['error'].get('message')}")
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if piece := delta.get("content") or delta.get("reasoning_content"):
                times.append(time.perf_counter())
                text.append(piece)
    ended = time.perf_counter()
    if usage is None:
        raise HearthError("the stream ended without usage")
    first = times[0] if times else ended
    gaps = tuple(after - before for before, after in itertools.pairwise(times))
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    counts = (usage["prompt_tokens"], cached, usage["completion_tokens"])
    return Sample(first - started, ended - started, gaps, *counts, "".join(text))


def measure(client: Client, conversations: Sequence[Sequence[Conversation]], pid: int | None) -> Level:
    """Let one thread per entry hold its conversations, one after the other, all starting at once."""
    start = threading.Barrier(len(conversations) + 1)

    def hold(own: Sequence[Conversation]) -> tuple[list[Sample], list[str]]:
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
    """By nearest rank; zeros when there is nothing to rank."""
    ranked = sorted(values) or [0.0]

    def at(share: float) -> float:
        return ranked[math.ceil(share * len(ranked)) - 1]

    return Percentiles(at(0.50), at(0.95), at(0.99), ranked[-1])


def cpu_seconds(pid: int | None) -> float | None:
    """CPU time that a process of this machine has used, by its own clock ticks or by `ps`."""
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


def first_model(base_url: str, key: str | None = None) -> str:
    """The model that the server lists first. Raises HearthError when it has none, or does not say."""
    listed = _get(base_url, "/v1/models", key)["data"]
    if not listed:
        raise HearthError("The server has no model.")
    return str(listed[0]["id"])


def _authorization(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _get(base_url: str, path: str, key: str | None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    try:
        connection.request("GET", quote(path), headers=_authorization(key))
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise HearthError(f"status {response.status}: {response.read(500).decode(errors='replace')}")
        return dict(json.loads(response.read()))
    finally:
        connection.close()


def concurrencies(text: str) -> list[int]:
    """ "1,4,16" as numbers. Raises InvalidRequest."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InvalidRequest("--concurrency takes numbers from 1, as in 1,4,16.", param="concurrency")
    return numbers


def run(server: Server, arguments: argparse.Namespace) -> int:
    """The command: a table on standard output, and the same figures as JSON if asked for."""
    try:
        key = arguments.key or os.environ.get("HEARTH_API_KEY")
        model = arguments.model or first_model(server.url, key)
        client = Client(server.url, model, arguments.max_tokens, key)
        numbers = concurrencies(arguments.concurrency)
        client.stream([{"role": "user", "content": "Warm up."}], {"max_tokens": WARM_UP_TOKENS})
    except (HearthError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    prompts = Prompts(arguments.prompt, time.time_ns(), arguments.max_tokens)
    print(f"{model}, {arguments.prompt} prompts, at most {arguments.max_tokens} tokens, times in ms\n{HEADER}")
    levels = []
    for number in numbers:
        rounds = [[prompts.conversation() for _ in range(REQUESTS_PER_CLIENT)] for _ in range(number)]
        levels.append(measure(client, rounds, server.pid))
        print(line(levels[-1]), flush=True)
    if arguments.json:
        write_json(arguments.json, model, arguments.prompt, arguments.max_tokens, levels)
    return 1 if any(level.errors for level in levels) else 0


def write_json(path: Path, model: str, kind: Kind, max_tokens: int, levels: Sequence[Level]) -> None:
    shown = [{name: value for name, value in asdict(level).items() if name != "texts"} for level in levels]
    report = {"model": model, "prompt": kind, "max_tokens": max_tokens, "levels": shown}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
