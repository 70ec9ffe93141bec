from __future__ import annotations

from pathlib import Path

import pytest

from webapp.engine.scheduler import Scheduler, common_prefix
from webapp.engine.sequence import Prompt, Sequence
from webapp.generation import InstalledModel, SamplingParams

MODEL = InstalledModel("m", Path(), 4096, 0, 0)
SYSTEM = tuple(range(100))


def sequence(name: str, *tokens: int) -> Sequence:
    return Sequence(name, MODEL, Prompt(tokens), SamplingParams(), 10, frozenset(), 0.0)


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
    assert scheduler.next_for("m", [], 2) is first
    assert scheduler.next_for("m", [first], 1) is None
    assert scheduler.next_for("m", [first], 2) is second
    assert scheduler.models() == []


def test_a_shared_prefix_is_computed_once_and_others_overtake() -> None:
    scheduler = Scheduler()
    leader, follower, other = sequence("leader", *SYSTEM, 1), sequence("follower", *SYSTEM, 2), sequence("other", 7)
    leader.state = "prefill"
    scheduler.add(follower)
    scheduler.add(other)
    assert scheduler.next_for("m", [leader], 9) is other
    assert scheduler.next_for("m", [leader], 9) is None
    leader.state = "decode"
    assert scheduler.next_for("m", [leader], 9) is follower


def test_a_prefix_that_came_from_the_cache_is_not_waited_for() -> None:
    scheduler = Scheduler()
    leader, follower = sequence("leader", *SYSTEM, 1), sequence("follower", *SYSTEM, 2)
    leader.state, leader.cached_tokens = "prefill", 99
    scheduler.add(follower)
    assert scheduler.next_for("m", [leader], 9) is follower


def test_a_leader_that_left_is_not_waited_for() -> None:
    scheduler = Scheduler()
    leader, follower = sequence("leader", *SYSTEM, 1), sequence("follower", *SYSTEM, 2)
    leader.state = "prefill"
    scheduler.add(follower)
    assert scheduler.next_for("m", [leader], 9) is None
    assert scheduler.next_for("m", [], 9) is follower
