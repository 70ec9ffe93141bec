"""The command `hearth bench`: measures a server at several numbers of clients, and prints a table."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Protocol

from webapp.errors import HearthError, InvalidRequest
from webapp.program.bench.client import Client, first_model
from webapp.program.bench.level import measure
from webapp.program.bench.prompts import Prompts
from webapp.program.bench.report import HEADER, line, write_json

REQUESTS_PER_CLIENT = 2
WARM_UP_TOKENS = 8


class Measured(Protocol):
    """The server to measure."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...


def concurrencies(text: str) -> list[int]:
    """ "1,4,16" as numbers. Raises InvalidRequest."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InvalidRequest("--concurrency takes numbers from 1, as in 1,4,16.", param="concurrency")
    return numbers


def run(server: Measured, arguments: argparse.Namespace) -> int:
    """Run the command: print a table, and write the same figures as JSON if `--json` names a file."""
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
        rounds = [[prompts.dialogue() for _ in range(REQUESTS_PER_CLIENT)] for _ in range(number)]
        levels.append(measure(client, rounds, server.pid))
        print(line(levels[-1]), flush=True)
    if arguments.json:
        write_json(arguments.json, model, arguments.prompt, arguments.max_tokens, levels)
    return 1 if any(level.errors for level in levels) else 0
