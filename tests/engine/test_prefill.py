"""Batches and speeds in, plans out."""

from __future__ import annotations

from pathlib import Path

import pytest

from webapp.engine.prefill import (
    BURST_STEPS,
    LONGEST_CHUNK_SECONDS,
    MOST_PROMPTS_ABREAST,
    MOST_TEXTS_ABREAST,
    Plan,
    PrefillPolicy,
    PrefillSpeed,
    Work,
)
from webapp.engine.sequence import Prompt, Sequence
from webapp.engine.snapshot import RequestState
from webapp.generation import InstalledModel, SamplingParams

MODEL = InstalledModel("m", Path(), 4096, 0, 0)


def row(
    state: RequestState, tokens: int, done_tokens: int = 0, cached_tokens: int = 0, embeds: bool = False
) -> Sequence:
    return Sequence(
        "s",
        "s",
        None,
        MODEL,
        Prompt(tuple(range(tokens))),
        SamplingParams(),
        10,
        frozenset(),
        0.0,
        embeds=embeds,
        state=state,
        cached_tokens=cached_tokens,
        done_tokens=done_tokens,
    )


def prompts(*lengths: int) -> list[Sequence]:
    return [row("prefill", length) for length in lengths]


def answers(count: int) -> list[Sequence]:
    return [row("decode", 10, 10) for _ in range(count)]


def texts(*lengths: int) -> list[Sequence]:
    return [row("prefill", length, embeds=True) for length in lengths]


def policy(tokens_per_second: float = 1000) -> PrefillPolicy:
    policy = PrefillPolicy()
    policy.prompt_speed.tokens_per_second = policy.text_speed.tokens_per_second = tokens_per_second
    return policy


def plan(batch: list[Sequence], most_tokens: int = 2048, stall_seconds: float = 0.1) -> Plan:
    """At 1000 tokens a second: 200 tokens when nobody is held up, 100 when somebody is."""
    return policy().plan(batch, most_tokens, stall_seconds)


def test_answers_alone_are_not_held_up() -> None:
    made = plan(answers(3))
    assert (made.prompts, made.texts) == (0, 0)


@pytest.mark.parametrize(
    ("batch", "stall_seconds", "seconds"),
    [
        (prompts(900), 0.05, LONGEST_CHUNK_SECONDS),
        (prompts(900), 9.0, LONGEST_CHUNK_SECONDS),
        (texts(900), 0.05, LONGEST_CHUNK_SECONDS),
        ([*prompts(900), *answers(1)], 0.05, 0.05),
        ([*prompts(900, 900), *answers(1)], 0.05, 0.1),
        ([*prompts(900, 900), *answers(1)], 9.0, LONGEST_CHUNK_SECONDS),
        ([*texts(900), *answers(1)], 0.05, 0.05),
        ([*prompts(900), *texts(900), *answers(1)], 0.1, 0.05),
    ],
)
def test_the_pause_is_what_running_answers_allow(batch: list[Sequence], stall_seconds: float, seconds: float) -> None:
    made = plan(batch, stall_seconds=stall_seconds)
    assert made.seconds == pytest.approx(seconds)
    assert made.text_tokens == pytest.approx(1000 * seconds)
    if made.prompts:
        assert made.prompts * made.chunk_tokens == pytest.approx(1000 * seconds, abs=1)


def test_no_chunk_is_larger_than_the_setting_says() -> None:
    made = plan([*prompts(900), *texts(900)], most_tokens=16)
    assert (made.prompts, made.chunk_tokens, made.texts, made.text_tokens) == (1, 16, 1, 16)


@pytest.mark.parametrize(
    ("lengths", "abreast", "chunk_tokens"),
    [
        ((20,), 1, 100),
        ((900,), 1, 100),
        ((20, 30), 2, 100),  # all of it fits
        ((900, 20), 2, 50),  # a short one overtakes
        ((900, 20, 20), 2, 50),
        ((60, 30, 20, 20), 3, 33),
    ],
)
def test_the_first_prompts_share_a_step(lengths: tuple[int, ...], abreast: int, chunk_tokens: int) -> None:
    made = plan([*prompts(*lengths), *answers(4)])
    assert (made.prompts, made.chunk_tokens) == (abreast, chunk_tokens)


def test_a_burst_is_computed_abreast() -> None:
    made = plan([*prompts(*[100] * 20), *answers(1)], stall_seconds=0.1)
    assert made.prompts == BURST_STEPS * 200 / 100
    assert made.chunk_tokens == 200 // made.prompts
    assert plan(prompts(*[1] * 100)).prompts == MOST_PROMPTS_ABREAST


def test_cached_tokens_need_no_time() -> None:
    made = plan([row("prefill", 900, 880, 880), row("prefill", 900, 850, 850), *answers(2)])
    assert (made.prompts, made.chunk_tokens) == (2, 100)


def test_those_who_have_begun_share_a_step_though_the_burst_is_over() -> None:
    begun = [row("prefill", 900, 100) for _ in range(8)]
    made = plan([*begun, *prompts(900, 900), *answers(12)])
    assert (made.prompts, made.chunk_tokens) == (8, 100 // 8)


@pytest.mark.parametrize(
    ("batch", "abreast"),
    [
        (texts(20, 50, 20), 3),
        (texts(20, 90, 20), 2),  # padded to 90
        (texts(20, 120, 20), 1),
        (texts(900, 20), 1),
        (texts(*[1] * 100), MOST_TEXTS_ABREAST),
        ([row("prefill", 150, 100, embeds=True), *texts(20)], 1),  # goes on alone, though it would fit
    ],
)
def test_texts_fit_beside_each_other(batch: list[Sequence], abreast: int) -> None:
    assert plan(batch).texts == abreast


def test_a_chunk_grows_when_there_is_time_and_shrinks_when_there_is_not() -> None:
    speed = PrefillSpeed()
    first = speed.tokens_in(0.25)
    speed.learn(first, seconds=0.001, target_seconds=0.25, exact=False)
    assert speed.tokens_in(0.25) == 2 * first
    speed.learn(10, seconds=0.2, target_seconds=0.25, exact=True)
    assert speed.tokens_in(0.25) == 2 * first
    speed.learn(2 * first, seconds=2.0, target_seconds=0.25, exact=True)
    assert first < speed.tokens_in(0.25) < 2 * first
    for _ in range(30):
        speed.learn(speed.tokens_in(0.25), seconds=2.0, target_seconds=0.25, exact=True)
    assert speed.tokens_in(0.25) == PrefillSpeed.SMALLEST_CHUNK


def test_a_quick_short_step_teaches_only_where_nothing_else_was_measured_with_it() -> None:
    speed = PrefillSpeed()
    speed.learn(10, seconds=0.001, target_seconds=0.25, exact=False)
    assert speed.tokens_per_second == PrefillSpeed.FIRST_TOKENS_PER_SECOND
    speed.learn(10, seconds=0.001, target_seconds=0.25, exact=True)
    assert speed.tokens_per_second == 2 * PrefillSpeed.FIRST_TOKENS_PER_SECOND


def test_the_time_of_answers_is_not_the_prompt_s() -> None:
    learning = policy(1000)
    for _ in range(40):
        learning.learn(learning.plan(answers(4), 2048, 0.1), Work(answers=4, seconds=0.06))
    made = learning.plan([*prompts(900), *answers(4)], 2048, 0.1)
    learning.learn(made, Work(prompt_tokens=100, answers=4, seconds=0.16))
    assert learning.prompt_speed.tokens_per_second == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize(("length", "tokens_per_second"), [(60, 40_000), (3000, 40_000), (3000, 300)])
def test_texts_teach_their_own_speed(length: int, tokens_per_second: int) -> None:
    learning = PrefillPolicy()
    for _ in range(20):
        made = learning.plan(texts(length, length, length), 2048, 0.1)
        computed = min(made.text_tokens, length) * made.texts
        learning.learn(made, Work(text_tokens=computed, text_seconds=computed / tokens_per_second))
    made = learning.plan(texts(10**5), 10**5, 0.1)
    assert made.text_tokens == pytest.approx(tokens_per_second * LONGEST_CHUNK_SECONDS, rel=0.01)
    assert learning.prompt_speed.tokens_per_second == PrefillSpeed.FIRST_TOKENS_PER_SECOND
