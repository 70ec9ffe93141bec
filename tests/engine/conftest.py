"""A runner in plain Python, and an engine that tests step by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from webapp.engine.cache_budget import CacheBudget, CachedPrefix
from webapp.engine.engine import Engine
from webapp.engine.limits import Limits, PoolLimits
from webapp.engine.memory import GB, MemoryLimit
from webapp.engine.pool.pool import Pool
from webapp.engine.prefill import Plan, Work
from webapp.engine.runner import Decoded, Embedded, Finished, Output, Prefilled, Step
from webapp.engine.sequence import Failed, Parcel, Prompt, Sequence, Token
from webapp.engine.snapshot import ModelState
from webapp.generation import InstalledModel, SamplingParams


class HandClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class CountingRow:
    """A prompt's tokens that are computed, then the token that comes next and how many came before."""

    token: int
    done_tokens: int = 0
    answered: int = 0


class CountingRunner:
    """Prefills as planned, then counts up from the prompt's last token. The token 13 breaks its batch.

    A text's vector is its length. Every token takes `token_seconds`, so it says.
    """

    BREAKS_BATCH = 13
    REFUSED = 666

    def __init__(
        self, weights_bytes: int, caches: CacheBudget, token_bytes: int = 0, token_seconds: float = 0.0
    ) -> None:
        self.weights_bytes = weights_bytes
        self._caches = caches
        self._kept: list[CachedPrefix] = []
        self.token_bytes = token_bytes
        self.token_seconds = token_seconds
        self.closed = False
        self.largest_batch = 0
        self.plans: list[Plan] = []
        self._rows: dict[Sequence, CountingRow] = {}

    def sequences(self) -> Seq[Sequence]:
        return tuple(sorted(self._rows, key=lambda sequence: sequence.embeds))

    @property
    def kv_bytes(self) -> int:
        return self.kv_bytes_for([row.done_tokens + row.answered for row in self._rows.values()])

    def kv_bytes_for(self, lengths: Seq[int]) -> int:
        return len(lengths) * max(lengths, default=0) * self.token_bytes

    def admit(self, sequence: Sequence) -> int:
        if self.REFUSED in sequence.prompt.tokens or not sequence.prompt.tokens:
            raise ValueError("refused")
        self._rows[sequence] = CountingRow(sequence.prompt.tokens[-1] + 1)
        self.largest_batch = max(self.largest_batch, len(self._rows))
        return 0

    def step(self, plan: Plan) -> Step:
        self.plans.append(plan)
        waiting = [sequence for sequence, row in self._rows.items() if row.done_tokens < len(sequence.prompt.tokens)]
        answering = [sequence for sequence in self._rows if sequence not in waiting]
        outputs = [output for sequence in answering for output in self._count(sequence)]
        prompts = [sequence for sequence in waiting if not sequence.embeds][: plan.prompts]
        texts = [sequence for sequence in waiting if sequence.embeds][: plan.texts]
        prompt_tokens = sum(self._prefill(sequence, plan.chunk_tokens, outputs) for sequence in prompts)
        text_tokens = sum(self._prefill(sequence, plan.text_tokens, outputs) for sequence in texts)
        seconds = (prompt_tokens + len(answering)) * self.token_seconds
        return Step(
            outputs, Work(prompt_tokens, len(answering), seconds, text_tokens, text_tokens * self.token_seconds)
        )

    def _count(self, sequence: Sequence) -> Iterator[Output]:
        row = self._rows[sequence]
        if row.token == self.BREAKS_BATCH:
            raise RuntimeError("broken")
        if row.token in sequence.eos_ids:
            del self._rows[sequence]
            yield Finished(sequence, "stop")
            return
        yield Decoded(sequence, row.token)
        row.token, row.answered = row.token + 1, row.answered + 1
        if row.answered == sequence.max_tokens:
            del self._rows[sequence]
            yield Finished(sequence, "length")

    def _prefill(self, sequence: Sequence, tokens: int, outputs: list[Output]) -> int:
        row, total = self._rows[sequence], len(sequence.prompt.tokens)
        computed = min(tokens, total - row.done_tokens)
        row.done_tokens += computed
        if sequence.embeds and row.done_tokens == total:
            del self._rows[sequence]
            outputs.append(Embedded(sequence, [float(total)]))
        else:
            outputs.append(Prefilled(sequence, row.done_tokens))
        return computed

    def cancel(self, sequence: Sequence) -> None:
        if self._rows.pop(sequence, None):
            self.keep(*[1] * len(sequence.prompt.tokens))

    def keep(self, *sizes: int) -> None:
        """Entries of so many bytes in the prefix cache."""
        for nbytes in sizes:
            self._kept.append(CachedPrefix((), [], nbytes, self._kept.remove))
            self._caches.add(self._kept[-1])

    @property
    def prefix_cache_bytes(self) -> int:
        return sum(entry.nbytes for entry in self._kept)

    def reset(self) -> None:
        self._rows.clear()

    def close(self) -> None:
        self.closed = True
        for entry in self._kept:
            self._caches.remove(entry)
        self._kept.clear()


@dataclass
class SlowLoading:
    """Takes `slices` steps; then gives a runner, or raises."""

    runner: CountingRunner
    slices: int
    error: Exception | None = None

    def advance(self) -> CountingRunner | None:
        self.slices -= 1
        if self.slices > 0:
            return None
        if self.error is not None:
            raise self.error
        return self.runner

    def close(self) -> None:
        self.runner.close()


@dataclass
class PlainLoader:
    """Loads in three slices; remembers what it made."""

    runners: dict[str, CountingRunner] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    token_bytes: int = 0
    token_seconds: float = 0.0

    def memory_bytes(self) -> int:
        return 1000

    def estimate_bytes(self, model: InstalledModel) -> int:
        if model.weights_bytes < 0:
            raise TypeError("the config makes no sense")
        return model.weights_bytes

    def open(self, model: InstalledModel, caches: CacheBudget) -> SlowLoading:
        runner = CountingRunner(model.weights_bytes, caches, self.token_bytes, self.token_seconds)
        self.runners[model.id] = runner
        return SlowLoading(runner, 3, self.errors.pop(model.id, None))


class Bench:
    """An engine without its thread, and what a test does to it."""

    def __init__(self, limits: Limits, limit_bytes: int = 1000) -> None:
        self.clock = HandClock()
        self.loader = PlainLoader()
        self.limits = replace(limits, pool=replace(limits.pool, memory=gb(limit_bytes)))
        self.pool = Pool(self.loader, self.limits.pool, self.clock)
        self.seeds = itertools.count(1000)
        self.engine = Engine(self.pool, self.limits, self.clock, draw_seed=lambda: next(self.seeds))
        self._ids = itertools.count()

    def submit(
        self,
        *tokens: int,
        model: str = "one",
        max_tokens: int = 3,
        weights_bytes: int = 100,
        length_is_ours: bool = False,
        request_id: str | None = None,
        owner: str | None = None,
        edition: int = 0,
        embeds: bool = False,
        seed: int | None = None,
    ) -> Sequence:
        name = f"request-{next(self._ids)}"
        sequence = Sequence(
            id=name,
            request_id=request_id or name,
            owner=owner,
            model=installed(model, weights_bytes, edition),
            prompt=Prompt(tokens or (1, 2)),
            sampling=SamplingParams(seed=seed),
            max_tokens=max_tokens,
            eos_ids=frozenset(),
            submitted=self.clock(),
            length_is_ours=length_is_ours,
            embeds=embeds,
        )
        self.engine.submit(sequence)
        return sequence

    def configure(self, **limits: Any) -> list[str]:
        """Change limits, those of the pool by their own names; what happened."""
        names = {each.name for each in fields(PoolLimits)}
        pool = replace(self.limits.pool, **{name: limits.pop(name) for name in names & limits.keys()})
        self.limits = replace(self.limits, **limits, pool=pool)
        effects = self.engine.configure(self.limits)
        self.engine.step()
        return effects.result(0)

    def states(self) -> dict[str, ModelState]:
        """Of the models in memory or on their way."""
        self.run(1)
        return {model.id: model.state for model in self.engine.snapshot.models}

    def run(self, steps: int = 30) -> None:
        for _ in range(steps):
            self.clock.now += 0.05
            self.engine.step()


def gb(limit_bytes: int) -> MemoryLimit:
    return MemoryLimit("gb", limit_bytes / GB)


def installed(name: str, weights_bytes: int = 100, edition: int = 0) -> InstalledModel:
    return InstalledModel(name, Path(), 4096, weights_bytes, 0, version=f"v{edition}", read_at=edition)


def drain(sequence: Sequence) -> list[Parcel]:
    """All parcels already in the outbox."""
    parcels: list[Parcel] = []
    try:
        while True:
            parcels.append(sequence.outbox.get_nowait())
    except Empty:
        return parcels


def tokens(sequence: Sequence) -> list[int]:
    return [parcel.id for parcel in drain(sequence) if isinstance(parcel, Token)]


def failure(sequence: Sequence) -> Exception | None:
    return next((parcel.error for parcel in drain(sequence) if isinstance(parcel, Failed)), None)


@pytest.fixture
def bench() -> Bench:
    return Bench(Limits(batch_size=4, max_waiting=2))
