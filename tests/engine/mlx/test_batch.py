from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.conftest import LLAMA, QWEN
from tests.engine.mlx.conftest import GREEDY, admit, advance, answer, plan, sequence
from webapp.engine.mlx.batch import MlxRunner
from webapp.generation import InstalledModel, SamplingParams

Load = Callable[[str], MlxRunner]
Installed = Callable[[str], InstalledModel]

MIX = (
    GREEDY,
    SamplingParams(temperature=0.8, seed=1),
    SamplingParams(temperature=1.2, top_p=0.9, seed=2),
    SamplingParams(temperature=1, top_k=5, seed=3),
    SamplingParams(temperature=1, min_p=0.1, seed=4),
    SamplingParams(temperature=0, repetition_penalty=1.3),
    SamplingParams(temperature=0, frequency_penalty=1, presence_penalty=1),
    SamplingParams(temperature=0.7, top_k=20, top_p=0.8, min_p=0.01, presence_penalty=0.5, seed=-5),
)


def prompt(number: int, length: int) -> tuple[int, ...]:
    numbers = random.Random(number)
    return tuple(numbers.randrange(10, 400) for _ in range(length))


@pytest.mark.parametrize("name", [QWEN, LLAMA])
def test_sixteen_together_answer_as_each_alone(load: Load, installed: Installed, name: str) -> None:
    model = installed(name)
    cases = [(prompt(i, 5 + 9 * i), MIX[i % len(MIX)]) for i in range(16)]
    alone = [answer(load(name), sequence(model, tokens, params))[0] for tokens, params in cases]
    runner = load(name)
    assert answer(runner, *(sequence(model, *case) for case in cases)) == alone
    again = [sequence(model, *case) for case in cases]
    assert answer(runner, *again) == alone
    assert again and all(one.cached_tokens == len(one.prompt.tokens) - 1 for one in again if len(one.prompt.tokens) > 8)


def test_joining_and_leaving_do_not_change_a_seeded_answer(load: Load, installed: Installed) -> None:
    model = installed(QWEN)
    params = SamplingParams(temperature=0.9, top_p=0.95, seed=77, frequency_penalty=0.3)
    [alone] = answer(load(QWEN), sequence(model, prompt(1, 30), params, max_tokens=40))
    runner, answers = load(QWEN), {}
    watched = sequence(model, prompt(1, 30), params, max_tokens=40)
    admit(runner, sequence(model, prompt(2, 60), MIX[6], max_tokens=5))
    admit(runner, watched)
    guests = []
    for step in range(20):
        guests.append(sequence(model, prompt(step + 3, 10 + step), MIX[step % len(MIX)], max_tokens=1 + step % 7))
        admit(runner, guests[-1])
        advance(runner, answers)
        if step % 3 == 0:
            runner.cancel(guests[step // 2])
    while runner.sequences():
        advance(runner, answers)
    assert answers[watched.id] == alone


def test_different_seeds_differ_and_a_drawn_one_counts_like_one_that_was_asked_for(
    load: Load, installed: Installed
) -> None:
    model, runner = installed(QWEN), load(QWEN)
    hot = SamplingParams(temperature=1.5)
    sequences = [sequence(model, prompt(0, 20), replace(hot, seed=seed)) for seed in (1, 2, 2**40 + 1)]
    drawn = [sequence(model, prompt(0, 20), hot) for _ in range(4)]
    for one, seed in zip(drawn, (3, 4, 5, 1), strict=True):
        one.seed = seed
    answers = [tuple(tokens) for tokens in answer(runner, *sequences, *drawn)]
    assert answers[-1] == answers[0]
    assert len(set(answers)) == len(answers) - 1


def test_penalties_keep_tokens_from_coming_back(load: Load, installed: Installed) -> None:
    model, runner = installed(QWEN), load(QWEN)
    strong = SamplingParams(temperature=0, presence_penalty=2, frequency_penalty=2, repetition_penalty=2)
    tokens = prompt(0, 20)
    [penalised] = answer(runner, sequence(model, tokens, strong, max_tokens=60))
    assert len(set(penalised)) > 55
    assert not set(penalised[:20]) & set(tokens)


def test_top_k_one_is_greedy_at_any_temperature(load: Load, installed: Installed) -> None:
    model, runner = installed(QWEN), load(QWEN)
    narrow = [
        SamplingParams(temperature=2, top_k=1),
        SamplingParams(temperature=2, top_p=1e-9),
        SamplingParams(2, min_p=1),
    ]
    greedy, *others = answer(runner, *(sequence(model, prompt(3, 20), params) for params in (GREEDY, *narrow)))
    assert others and all(other == greedy for other in others)


def test_the_coldest_temperatures_are_greedy(load: Load, installed: Installed) -> None:
    model, runner = installed(QWEN), load(QWEN)
    cold = [SamplingParams(temperature=5e-324), SamplingParams(temperature=1e-6, top_p=0.5, xtc_probability=1)]
    greedy, *others = answer(runner, *(sequence(model, prompt(3, 20), params) for params in (GREEDY, *cold)))
    assert others[0] == greedy and others[1] == greedy


def test_a_cancelled_prompt_stays_in_the_prefix_cache(load: Load, installed: Installed) -> None:
    model, runner = installed(QWEN), load(QWEN)
    long = sequence(model, prompt(9, 600))
    admit(runner, long)
    while long.state != "prefill":
        advance(runner, {})
    runner.cancel(long)
    assert runner.sequences() == ()
    again = sequence(model, prompt(9, 600))
    admit(runner, again)
    assert again.cached_tokens >= 16


def test_prompts_being_decoded_are_shared_at_once(load: Load, installed: Installed) -> None:
    model, runner = installed(QWEN), load(QWEN)
    first = sequence(model, (*prompt(5, 100), 7, 8), max_tokens=500)
    admit(runner, first)
    while first.state != "decode":
        advance(runner, {})
    second = sequence(model, (*prompt(5, 100), 9))
    admit(runner, second)
    assert second.cached_tokens == 100


def test_a_reset_batch_takes_new_sequences(load: Load, installed: Installed) -> None:
    model, runner = installed(QWEN), load(QWEN)
    [expected] = answer(runner, sequence(model, prompt(1, 20)))
    admit(runner, sequence(model, prompt(2, 20)))
    runner.step(plan())
    runner.reset()
    assert runner.sequences() == ()
    assert answer(runner, sequence(model, prompt(1, 20))) == [expected]
