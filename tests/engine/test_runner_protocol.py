"""What the engine may count on, of the real runner on a tiny model and of the plain one that other tests step.

Nobody here writes a sequence's state, and no runner may read it: a runner knows what it was given, and its plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import QWEN
from tests.engine.conftest import CountingRunner
from webapp.engine.cache_budget import CacheBudget
from webapp.engine.mlx.loading import MlxLoader
from webapp.engine.prefill import Plan
from webapp.engine.runner import Decoded, Embedded, Finished, Output, Prefilled, Runner, Step
from webapp.engine.sequence import Prompt, Sequence
from webapp.generation import InstalledModel, SamplingParams

MODEL = InstalledModel("m", Path(), 4096, 0, 0)
WIDE = Plan(prompts=32, chunk_tokens=2048, texts=32, text_tokens=2048)
LONG = tuple(range(20, 140))
ENGINES_OWN = {
    "state", "ticket", "timeouts", "refusal", "first_token", "cached_tokens", "done_tokens", "completion_tokens",
    "leader", "cancelled_by", "outbox",
}  # fmt: skip


class Sealed(Sequence):
    """A sequence whose fields that only the engine writes cannot be read."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        assert name not in ENGINES_OWN, f"a runner read {name}"
        return super().__getattribute__(name)


@pytest.fixture
def caches() -> CacheBudget:
    return CacheBudget(1 << 30)


@pytest.fixture(params=["real", "plain"])
def runner(request: pytest.FixtureRequest, models_dir: Path, caches: CacheBudget) -> Iterator[Runner]:
    runner: Runner | None = CountingRunner(100, caches, token_bytes=3)
    if request.param == "real":
        loading = MlxLoader().open(InstalledModel(QWEN, models_dir / QWEN, 4096, 0, 0), caches)
        while (runner := loading.advance()) is None:
            pass
    assert runner is not None
    yield runner
    runner.close()


def sequence(
    *tokens: int, max_tokens: int = 6, ends: tuple[int, ...] = (), seed: int | None = None, embeds: bool = False
) -> Sequence:
    sampling = SamplingParams(temperature=0 if seed is None else 1.5)
    prompt = Prompt(tokens)
    one = Sealed("s", "s", None, MODEL, prompt, sampling, max_tokens, frozenset(ends), 0.0, embeds=embeds)
    one.seed = seed or 0
    return one


def admit(runner: Runner, *sequences: Sequence) -> list[int]:
    return [runner.admit(one) for one in sequences]


def finish(runner: Runner, plan: Plan = WIDE) -> list[Step]:
    """Step until nobody is left."""
    steps = []
    while runner.sequences():
        steps.append(runner.step(plan))
        assert len(steps) < 1000
    return steps


def outputs(steps: list[Step], one: Sequence) -> list[Output]:
    return [output for step in steps for output in step.outputs if output.sequence is one]


def tokens(steps: list[Step], one: Sequence) -> list[int]:
    return [output.token for output in outputs(steps, one) if isinstance(output, Decoded)]


def until_decoded(runner: Runner, one: Sequence) -> list[Step]:
    steps = []
    while not tokens(steps, one):
        steps.append(runner.step(WIDE))
    return steps


def test_who_is_admitted_is_there_until_finished_in_order(runner: Runner) -> None:
    text, first, second = sequence(*LONG, embeds=True), sequence(20, 21), sequence(30, 31)
    assert runner.sequences() == ()
    assert admit(runner, text, first, second) == [0, 0, 0]
    assert runner.sequences() == (first, second, text)
    finish(runner)
    assert runner.sequences() == ()


def test_a_prompt_is_refused_alone(runner: Runner) -> None:
    good = sequence(20, 21)
    runner.admit(good)
    with pytest.raises(ValueError):
        runner.admit(sequence())
    assert runner.sequences() == (good,)
    assert len(tokens(finish(runner), good)) == good.max_tokens


def test_a_prompt_is_computed_in_chunks_as_planned(runner: Runner) -> None:
    one = sequence(*LONG)
    runner.admit(one)
    steps = finish(runner, Plan(prompts=1, chunk_tokens=50, texts=0, text_tokens=0))
    done = [output.done_tokens for output in outputs(steps, one) if isinstance(output, Prefilled)]
    assert done[:2] == [50, 100]
    assert done[-1] == len(LONG) and done == sorted(done)
    computed = [step.work.prompt_tokens for step in steps]
    assert max(computed) == 50 and len(LONG) - 1 <= sum(computed) <= len(LONG)


@pytest.mark.parametrize("abreast", [1, 2])
def test_as_many_prompts_are_computed_abreast_as_planned(runner: Runner, abreast: int) -> None:
    first, second = sequence(*LONG), sequence(*LONG, 141)
    admit(runner, first, second)
    step = runner.step(Plan(prompts=abreast, chunk_tokens=40, texts=0, text_tokens=0))
    assert step.outputs == [Prefilled(first, 40), Prefilled(second, 40)][:abreast]
    assert step.work.prompt_tokens == 40 * abreast


def test_every_answer_gets_one_token_a_step_up_to_its_length(runner: Runner) -> None:
    short, long = sequence(20, 21, max_tokens=2), sequence(30, 31, max_tokens=5)
    admit(runner, short, long)
    steps = finish(runner)
    assert [len(tokens(steps, one)) for one in (short, long)] == [2, 5]
    for one in (short, long):
        assert all(len(tokens([step], one)) <= 1 for step in steps)
        assert outputs(steps, one)[-1] == Finished(one, "length")
    assert [step.work.answers for step in steps if step.work.answers] == [2, 2, 1, 1, 1]
    assert all(step.work.seconds >= 0 for step in steps)


def test_an_end_token_ends_an_answer_and_is_not_part_of_it(runner: Runner) -> None:
    free = sequence(20, 21)
    runner.admit(free)
    answer = tokens(finish(runner), free)
    bound = sequence(20, 21, ends=(answer[3],))
    runner.admit(bound)
    steps = finish(runner)
    assert tokens(steps, bound) == answer[: answer.index(answer[3])]
    assert outputs(steps, bound)[-1] == Finished(bound, "stop")


def test_the_same_seed_gives_the_same_answer(runner: Runner) -> None:
    alike = [sequence(20, 21, seed=7), sequence(20, 21, seed=7)]
    admit(runner, *alike)
    steps = finish(runner)
    assert tokens(steps, alike[0]) == tokens(steps, alike[1])


@pytest.mark.parametrize("chunk_tokens", [50, 2048])
def test_a_text_becomes_a_vector_in_chunks_as_planned(runner: Runner, chunk_tokens: int) -> None:
    text, beside = sequence(*LONG, embeds=True), sequence(20, 21)
    admit(runner, text, beside)
    steps = finish(runner, Plan(prompts=1, chunk_tokens=10, texts=1, text_tokens=chunk_tokens))
    *before, last = outputs(steps, text)
    assert before == [Prefilled(text, done) for done in range(chunk_tokens, len(LONG), chunk_tokens)]
    assert isinstance(last, Embedded) and last.vector
    assert sum(step.work.text_tokens for step in steps) == len(LONG)
    assert len(tokens(steps, beside)) == beside.max_tokens


def test_texts_wait_while_no_plan_names_them(runner: Runner) -> None:
    text = sequence(*LONG, embeds=True)
    runner.admit(text)
    assert runner.step(Plan(prompts=1, chunk_tokens=10, texts=0, text_tokens=10)).outputs == []
    assert runner.sequences() == (text,)


@pytest.mark.parametrize("stage", ["admitted", "prefill", "decode", "text", "long text"])
def test_who_is_cancelled_is_gone_at_once_and_nobody_else(runner: Runner, stage: str) -> None:
    staying = sequence(30, 31)
    leaving = sequence(*LONG, embeds="text" in stage)
    admit(runner, leaving, staying)
    steps = []
    if stage in ("prefill", "long text"):
        steps = [runner.step(Plan(prompts=1, chunk_tokens=50, texts=1, text_tokens=50))]
    elif stage == "decode":
        steps = until_decoded(runner, leaving)
    runner.cancel(leaving)
    assert runner.sequences() == (staying,)
    runner.cancel(leaving)
    after = finish(runner)
    assert outputs(after, leaving) == []
    assert len(tokens(steps + after, staying)) == staying.max_tokens


def test_bytes_of_kv_are_within_what_was_promised(runner: Runner) -> None:
    assert runner.weights_bytes > 0
    assert runner.kv_bytes_for([]) == runner.kv_bytes == 0
    both = [sequence(*LONG), sequence(20, 21)]
    promised = runner.kv_bytes_for([one.most_tokens for one in both])
    assert promised > runner.kv_bytes_for([both[0].most_tokens]) > 0
    admit(runner, *both)
    most = 0
    while runner.sequences():
        runner.step(WIDE)
        most = max(most, runner.kv_bytes)
    assert 0 < most <= promised
    assert runner.kv_bytes == 0


def test_what_was_computed_stays_in_the_prefix_cache_until_the_budget_shrinks(
    runner: Runner, caches: CacheBudget
) -> None:
    assert runner.prefix_cache_bytes == 0
    one = sequence(*LONG, max_tokens=100)
    runner.admit(one)
    until_decoded(runner, one)
    runner.cancel(one)
    held = runner.prefix_cache_bytes
    assert held > 0
    caches.shrink(held)
    assert runner.prefix_cache_bytes == held
    caches.shrink(0)
    assert runner.prefix_cache_bytes == 0


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_reset_runner_has_forgotten_everybody_and_goes_on(runner: Runner, steps: int) -> None:
    before = sequence(20, 21)
    runner.admit(before)
    answer = tokens(finish(runner), before)
    admit(runner, sequence(*LONG), sequence(*LONG, embeds=True))
    for _ in range(steps):
        runner.step(Plan(prompts=1, chunk_tokens=50, texts=1, text_tokens=50))
    runner.reset()
    assert runner.sequences() == ()
    after = sequence(20, 21)
    runner.admit(after)
    assert tokens(finish(runner), after) == answer
