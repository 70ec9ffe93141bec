"""Thousands of malformed requests to every route of /v1/openapi.json, made by schemathesis: no 5xx, no hang, no lie.

Starts a real server with Ember, in a data folder of its own. A greedy answer that is asked for all the while must stay
the same to the last byte. Exits with 1 when anything was found.

    python tools/fuzz.py [--examples 30] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

PROJECT = Path(__file__).resolve().parent.parent
READY = "Hearth is ready at "
# Longer counts as a hang. An answer that fills Ember's whole context takes 13 s beside nothing else, on two slow cores.
ANSWER_SECONDS = 120
# /api changes settings, and some of them end what /v1 may do: so it comes last.
V1, API = "^/(v1|health)", "^/api"
CHECKS = (
    "not_a_server_error", "content_type_conformance", "response_schema_conformance", "negative_data_rejection",
    "status_code_conformance", "unsupported_method",
)  # fmt: skip
QUESTION = {"model": "ember", "messages": [{"role": "user", "content": "What is Hearth?"}], "temperature": 0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=30, help="drawn for each route, beside those of each field")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, key):
        server = Fuzzed(url, key, Path(folder), options.examples, options.seed)
        expected = server.ask()
        with server.asked_all_the_while() as texts:
            right = server.fuzz(V1)
        print(f"{len(texts)} answers beside them, {sum(text != expected for text in texts)} others", flush=True)
        right = server.fuzz(API) and right
        server.reset()
        return int(not right or {*texts, server.ask()} != {expected})


@contextmanager
def served(data: Path) -> Iterator[tuple[str, str]]:
    """The address of a server, and an admin key: whatever is set, it lets in."""
    hearth = [sys.executable, "-m", "webapp"]
    folder = ["--data-dir", str(data)]
    made = subprocess.run(
        [*hearth, "key", "create", "fuzz", "--scope", "admin", "--json", *folder],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    command = [*hearth, "serve", "--no-browser", "--port", "0", *folder]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout
        ready = next(line for line in server.stdout if READY in line)
        yield ready.partition(READY)[2].split()[0].rstrip("/"), json.loads(made.stdout)["secret"]
    finally:
        server.terminate()
        server.wait(30)


class Fuzzed:
    """A server, and what is sent to it. `folder` takes what schemathesis leaves behind."""

    def __init__(self, url: str, key: str, folder: Path, examples: int, seed: int):
        self._url = url
        self._key = key
        self._folder = folder
        self._drawn = ("--max-examples", str(examples), "--seed", str(seed))

    def fuzz(self, paths: str) -> bool:
        """Whether all went well on these paths; schemathesis says what did not."""
        run = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"{self._url}/v1/openapi.json", *self._drawn,
                "--include-path-regex", paths, "--phases", "coverage,fuzzing", "--checks", ",".join(CHECKS),
                "--header", f"Authorization: Bearer {self._key}", "--request-timeout", str(ANSWER_SECONDS),
                "--continue-on-failure", "--no-shrink", "--no-color", "--warnings", "off",
                "--generation-database", "none",
            ],
            cwd=self._folder, check=False,
        )  # fmt: skip
        return run.returncode == 0

    def ask(self) -> str:
        return str(self._send("POST", "/v1/chat/completions", QUESTION)["choices"][0]["message"]["content"])

    @contextmanager
    def asked_all_the_while(self) -> Iterator[list[str]]:
        """As a user would ask whom the others must not disturb; an error of theirs is raised at the end."""
        texts: list[str] = []
        ended = threading.Event()

        def keep_asking() -> None:
            while not ended.wait(0.2):
                texts.append(self.ask())

        with ThreadPoolExecutor(1) as pool:
            asker = pool.submit(keep_asking)
            try:
                yield texts
            finally:
                ended.set()
            asker.result()

    def reset(self) -> None:
        """Every setting as it was."""
        known = self._send("GET", "/api/settings", None)["settings"]
        self._send("PUT", "/api/settings", dict.fromkeys(known))

    def _send(self, method: str, path: str, body: object) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, headers, method=method)
        with urlopen(request, timeout=ANSWER_SECONDS) as reply:
            return dict(json.load(reply))


if __name__ == "__main__":
    sys.exit(main())
