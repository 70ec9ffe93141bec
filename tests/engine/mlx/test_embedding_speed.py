"""An engine without its thread over a real model: texts are computed as fast as the machine can."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import QWEN
from tests.engine.conftest import drain
from tests.engine.mlx.conftest import sequence
from webapp.engine.backend import Backend
from webapp.engine.engine import Engine
from webapp.engine.limits import Limits
from webapp.engine.pool.pool import Pool
from webapp.engine.prefill import LONGEST_CHUNK_SECONDS, PrefillSpeed
from webapp.engine.sequence import End
from webapp.generation import InstalledModel

TEXT_TOKENS = 3000


@pytest.fixture
def engine(backend: Backend) -> Iterator[Engine]:
    limits = Limits()
    pool = Pool(backend, limits.pool, time.monotonic)
    yield Engine(pool, limits)
    pool.close()


def steps_of_a_text(engine: Engine, model: InstalledModel) -> int:
    text = sequence(model, tuple(i % 400 + 5 for i in range(TEXT_TOKENS)))
    text.embeds = True
    engine.submit(text)
    while text.state == "waiting":
        engine.step()
    steps = 0
    while not any(isinstance(parcel, End) for parcel in drain(text)):
        engine.step()
        steps += 1
    return steps


def test_an_idle_engine_learns_how_fast_it_embeds(engine: Engine, installed: Callable[[str], InstalledModel]) -> None:
    model = installed(QWEN)
    unlearnt = TEXT_TOKENS / PrefillSpeed().tokens_in(LONGEST_CHUNK_SECONDS)
    assert min(steps_of_a_text(engine, model) for _ in range(3)) < unlearnt / 2
