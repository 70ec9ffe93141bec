from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from webapp.engine.scheduler import Scheduler, common_prefix
from webapp.engine.sequence import Prompt, Sequence
from webapp.generation import Edition, InstalledModel, SamplingParams

MODEL = InstalledModel("m", Path(), 4096, 0, 0)
SYSTEM = tuple(range(100))


def edition(model: str) -> Edition:
    return replace(MODEL, id=model).edition


def sequence(name: str, *tokens: int, model: str = "m") -> Sequence:
    return Sequence(name, name, None, replace(MODEL, id=model), Prompt(tokens), SamplingParams(), 10, frozenset(), 0.0)


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [((), (1,), 0), ((1, 2, 3), (1, 2, 3), 3), ((1, 2, 3), (1, 2), 2), ((1, 2, 3), (1, 9, 3), 1), ((5,), (6,), 0)],
)
def test_common_prefix(one: tuple[int, ...], other: tuple[int, ...], length: int) -> None:
    assert common_prefix(one, other) == length


def test_first_come_first_served_until_the_batch_is_full() -> None:
    scheduler = Scheduler()
    first, second = sequence("first", 1), sequence("second", 2)
    scheduler.add(first)
    scheduler.add(second)
    assert scheduler.next_for(MODEL.edition, [], 2) is first
    assert scheduler.next_for(MODEL.edition, [first], 1) is None
    scheduler.remove(first)
    assert scheduler.next_for(MODEL.edition, [first], 2) is second
    scheduler.remove(second)
    assert scheduler.next_for(MODEL.edition, [], 2) is None


def test_the_longest_waiting_model_comes_first_and_a_load_is_shared_by_all_who_wait() -> None:
    scheduler = Scheduler()
    waiting = [sequence(name, 1, model=model) for name, model in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"))]
    for one in waiting:
        scheduler.add(one)
    assert scheduler.oldest(()) is waiting[0]
    assert scheduler.oldest({edition("a")}) is waiting[1]
    assert scheduler.oldest({edition("a"), edition("b")}) is None
    scheduler.share_turn(edition("b"))
    scheduler.remove(waiting[0])
    scheduler.remove(waiting[1])
    assert scheduler.oldest(()) is waiting[3]


def test_a_shared_prefix_is_computed_once_and_others_overtake() -> None:
    scheduler = Scheduler()
    leader, follower, other = sequence("leader", *SYSTEM, 1), sequence("follower", *SYSTEM, 2), sequence("other", 7)
    leader.state = "prefill"
    scheduler.add(follower)
    scheduler.add(other)
    assert scheduler.next_for(MODEL.edition, [leader], 9) is other
    scheduler.remove(other)
    assert scheduler.next_for(MODEL.edition, [leader], 9) is None
    leader.state = "decode"
    assert scheduler.next_for(MODEL.edition, [leader], 9) is follower


def test_a_prefix_that_came_from_the_cache_is_not_waited_for() -> None:
    scheduler = Scheduler()
    leader, follower = sequence("leader", *SYSTEM, 1), sequence("follower", *SYSTEM, 2)
    leader.state, leader.cached_tokens = "prefill", 99
    scheduler.add(follower)
    assert scheduler.next_for(MODEL.edition, [leader], 9) is follower


def test_a_leader_that_left_is_not_waited_for() -> None:
    scheduler = Scheduler()
    leader, follower = sequence("leader", *SYSTEM, 1), sequence("follower", *SYSTEM, 2)
    leader.state = "prefill"
    scheduler.add(follower)
    assert scheduler.next_for(MODEL.edition, [leader], 9) is None
    assert scheduler.next_for(MODEL.edition, [], 9) is follower
