"""Whatever comes in whatever order, everything ends exactly once and nothing is left held."""

from __future__ import annotations

import random
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest

from tests.engine.conftest import Bench, CountingRunner, drain, gb, installed
from webapp.engine.limits import Limits, PoolLimits, Timeouts
from webapp.engine.sequence import End, Failed, Sequence
from webapp.errors import QueueFull

WEIGHTS = {"one": 300, "two": 300, "three": 500, "senseless": -1}


class Storm:
    """One random act after another, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(Limits(batch_size=4, max_waiting=5))
        self.bench.loader.token_bytes = self.random.choice([0, 1, 3])
        self.sequences: list[Sequence] = []
        self.futures: list[Future[Any]] = []
        self.editions = dict.fromkeys(WEIGHTS, 1)

    def act(self) -> None:
        acts = (self.submit, self.rest, self.cancel, self.by_hand, self.configure, self.replace)
        self.random.choices(acts, (60, 60, 20, 10, 10, 3))[0]()

    def replace(self) -> None:
        self.editions[self.random.choice(list(WEIGHTS))] += 1

    def edition(self, model: str) -> int:
        """Mostly the newest; some requests took longer to get here."""
        return self.editions[model] - self.random.choice([0, 0, 0, 0, 1])

    def submit(self) -> None:
        model = self.random.choice(list(WEIGHTS))
        if self.random.random() < 0.05:
            self.bench.loader.errors[model] = ValueError("bad shapes")
        tokens = [self.random.choice([20, 21, 22, CountingRunner.BREAKS_BATCH - 2])] * self.random.choice([1, 3, 90])
        last = self.random.choice([20, CountingRunner.REFUSED]) if self.random.random() < 0.1 else tokens[-1]
        with suppress(QueueFull):
            self.sequences.append(
                self.bench.submit(
                    *tokens,
                    last,
                    model=model,
                    max_tokens=self.random.choice([1, 2, 3, 60]),
                    weights_bytes=WEIGHTS[model],
                    length_is_ours=self.random.random() < 0.5,
                    edition=self.edition(model),
                )
            )

    def cancel(self) -> None:
        if self.sequences:
            self.bench.engine.cancel(self.random.choice(self.sequences).id)

    def by_hand(self) -> None:
        model = self.random.choice(list(WEIGHTS))
        load, unload = self.bench.engine.load, self.bench.engine.unload
        wanted = installed(model, WEIGHTS[model], self.edition(model))
        self.futures.append(load(wanted) if self.random.random() < 0.5 else unload(model))

    def configure(self) -> None:
        choices: list[dict[str, object]] = [
            {"memory": gb(self.random.choice([50, 350, 650, 1000]))},
            {"max_models": self.random.choice([0, 1, 2])},
            {"pinned": frozenset(self.random.sample(list(WEIGHTS), 1))},
            {"idle_seconds": self.random.choice([0, 0.2])},
            {"policy": self.random.choice(["lru", "lfu", "ttl"])},
            {"batch_size": self.random.choice([1, 2, 4])},
            {"timeouts": Timeouts(*(self.random.choice([0, 1, 5]) for _ in range(3)))},
        ]
        self.bench.configure(**self.random.choice(choices))

    def rest(self) -> None:
        self.bench.run(self.random.randrange(1, 6))

    def calm(self) -> None:
        """Everything is allowed again, and there is time."""
        calm = {name: getattr(PoolLimits(), name) for name in ("max_models", "pinned", "idle_seconds")}
        self.bench.configure(memory=gb(1000), timeouts=Timeouts(), **calm)
        for _ in range(100):
            self.bench.run(10)
            if not self.bench.engine.snapshot.requests:
                break


@pytest.mark.parametrize("seed", range(8))
def test_a_storm_ends_and_leaves_nothing_held(seed: int) -> None:
    storm = Storm(seed)
    for _ in range(400):
        storm.act()
    storm.calm()
    for sequence in storm.sequences:
        assert len([parcel for parcel in drain(sequence) if isinstance(parcel, End | Failed)]) == 1
    assert storm.futures and all(future.done() for future in storm.futures)
    assert len(storm.bench.pool._residents) == len(storm.bench.engine.snapshot.models)
    for model in storm.bench.engine.snapshot.models:
        assert (model.leases, model.running, model.reserved_bytes, model.kv_bytes) == (0, 0, 0, 0)
        assert model.state in ("loaded", "failed")
    assert storm.bench.pool.budget.committed_bytes <= 1000
