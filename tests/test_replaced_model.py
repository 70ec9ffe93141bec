"""A model folder is replaced while the server runs and streams from it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import Hearth, run_server
from tiny_models import make_model

SWAPPED, OLD, NEW = "tests/swapped", "tests/old", "tests/new"
# The catalog looks at the disk every two seconds.
STREAM_SECONDS = 4.0
MOST_TOKENS = 3500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / OLD, "llama", "small", seed=1)
    make_model(folder / NEW, "qwen3", "nano", seed=2)
    shutil.copytree(folder / OLD, folder / SWAPPED)
    return folder


@pytest.fixture(scope="module")
def hearth(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Hearth]:
    yield from run_server(tmp_path_factory.mktemp("data"), (folder,))


def ask(hearth: Hearth, model: str, max_tokens: int = 20) -> str:
    """A greedy answer, streamed."""
    body = {"model": model, "prompt": "The river", "max_tokens": max_tokens, "temperature": 0, "stream": True}
    with httpx.stream("POST", f"{hearth.base_url}/v1/completions", json=body, timeout=120) as reply:
        assert reply.status_code == 200
        chunks = [json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: {")]
    return "".join(chunk["choices"][0]["text"] for chunk in chunks)


def test_the_stream_ends_on_the_old_weights_and_the_next_answer_is_the_new_ones(hearth: Hearth, folder: Path) -> None:
    ask(hearth, OLD)
    started = time.monotonic()
    ask(hearth, OLD, 100)
    long = min(MOST_TOKENS, int(100 / (time.monotonic() - started) * STREAM_SECONDS))
    old, new = ask(hearth, OLD, long), ask(hearth, NEW)
    assert ask(hearth, SWAPPED) == ask(hearth, OLD) != new
    version = hearth.server.catalog.find(SWAPPED).version
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(ask, hearth, SWAPPED, long)
        while not any(request.state == "decode" for request in hearth.server.engine.snapshot.requests):
            time.sleep(0.01)
        replace(folder / SWAPPED, folder / NEW)
        while hearth.server.catalog.find(SWAPPED).version == version:
            time.sleep(0.01)
        assert not stream.done(), "the stream was too short for this test"
        assert ask(hearth, SWAPPED) == new
        assert stream.done() and stream.result() == old
    assert ask(hearth, SWAPPED) == new
    [state] = [model.state for model in hearth.server.engine.snapshot.models if model.id == SWAPPED]
    assert state == "loaded"


def replace(folder: Path, by: Path) -> None:
    """As somebody does who copies a new model and renames it."""
    shutil.copytree(by, folder.with_name("coming"))
    folder.rename(folder.with_name("going"))
    folder.with_name("coming").rename(folder)
    shutil.rmtree(folder.with_name("going"))
