"""A model whose files are replaced on disk: each answer comes from the weights that its prompt was written for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.conftest import Bench, failure, gb, installed, tokens
from webapp.errors import Conflict, ModelLoadFailed, ModelReplaced


def test_running_and_queued_answers_finish_on_the_old_and_new_ones_wait_for_the_new(bench: Bench) -> None:
    bench.configure(batch_size=1, max_waiting=9)
    running, queued = (bench.submit(20, max_tokens=20, edition=1) for _ in range(2))
    bench.run(6)
    old = bench.loader.runners["one"]
    new = bench.submit(30, max_tokens=5, edition=2)
    late = bench.submit(40, max_tokens=5, edition=1)
    bench.run(3)
    assert bench.states() == {"one": "draining"}
    assert not old.closed and bench.loader.runners["one"] is old
    bench.run(100)
    assert [len(tokens(each)) for each in (running, queued, new, late)] == [20, 20, 5, 5]
    assert old.closed and bench.loader.runners["one"] is not old
    assert bench.states() == {"one": "loaded"}


def test_an_idle_old_one_goes_at_once_and_its_prefix_cache_with_it(bench: Bench) -> None:
    bench.submit(20, edition=1)
    bench.run()
    old = bench.loader.runners["one"]
    old.keep(100)
    new = bench.submit(30, edition=2)
    bench.run(1)
    assert old.closed and bench.pool.caches.used_bytes == 0
    bench.run()
    assert tokens(new) == [31, 32, 33]


def test_a_new_one_does_not_join_the_batch_of_the_old_though_others_wait_for_a_prefix(bench: Bench) -> None:
    leader = bench.submit(*range(100, 200), max_tokens=100, edition=1)
    bench.run(4)
    leader.state = "prefill"
    bench.submit(*range(100, 200), max_tokens=2, edition=1)
    new = bench.submit(30, edition=2)
    bench.run(5)
    assert new.state == "waiting"
    assert len(bench.loader.runners["one"].sequences()) == 1


def test_who_waited_for_a_load_of_files_that_are_gone_is_told_to_ask_again(bench: Bench) -> None:
    waiting = bench.submit(20, edition=1)
    bench.run(1)
    assert bench.states() == {"one": "loading"}
    new = bench.submit(30, edition=2)
    bench.run()
    error = failure(waiting)
    assert isinstance(error, ModelReplaced) and error.retry_after_seconds
    assert tokens(new) == [31, 32, 33]


def test_a_prompt_that_was_late_does_not_bring_the_old_one_back(bench: Bench) -> None:
    bench.submit(30, edition=2)
    bench.run()
    loaded = bench.loader.runners["one"]
    late, later = bench.submit(20, edition=1), bench.submit(30, edition=2)
    bench.run()
    assert isinstance(failure(late), ModelReplaced)
    assert tokens(later) == [31, 32, 33]
    assert bench.loader.runners["one"] is loaded and not loaded.closed
    assert bench.states() == {"one": "loaded"}


def test_files_that_fail_to_load_are_tried_again_when_they_are_others(bench: Bench) -> None:
    bench.submit(20, edition=1)
    bench.run()
    bench.loader.errors["one"] = ValueError("half copied")
    half = bench.submit(20, edition=2)
    bench.run()
    assert isinstance(failure(half), ModelLoadFailed)
    assert bench.states() == {"one": "failed"}
    whole = bench.submit(30, edition=3)
    bench.run()
    assert tokens(whole) == [31, 32, 33]
    assert bench.states() == {"one": "loaded"}


def test_files_that_come_back_are_the_newest_again(bench: Bench) -> None:
    running = bench.submit(20, max_tokens=30, edition=1)
    bench.run(6)
    runner = bench.loader.runners["one"]
    between = bench.submit(30, edition=2)
    bench.run(1)
    assert bench.states() == {"one": "draining"}
    wish = bench.engine.load(replace(installed("one", edition=1), read_at=3))
    bench.run(40)
    assert wish.result(0) is None
    assert isinstance(failure(between), ModelReplaced)
    assert len(tokens(running)) == 30
    assert bench.states() == {"one": "loaded"} and not runner.closed


def test_a_wish_for_what_came_between_is_one_for_the_files_that_came_back(bench: Bench) -> None:
    bench.submit(20, max_tokens=30, edition=1)
    bench.run(6)
    wish = bench.engine.load(installed("one", edition=2))
    bench.run(1)
    assert not wish.done()
    bench.pool.lease(replace(installed("one", edition=1), read_at=3))
    bench.run(1)
    assert wish.result(0) is None


def test_a_pinned_model_is_replaced_too_and_a_wish_to_load_it_loads_the_new(bench: Bench) -> None:
    bench.configure(pinned=frozenset({"one"}), memory=gb(250))
    running = bench.submit(20, max_tokens=20, edition=1, weights_bytes=200)
    bench.run(6)
    wish = bench.engine.load(installed("one", 200, edition=2))
    bench.run(2)
    bench.configure(batch_size=3)
    assert not wish.done() and bench.states() == {"one": "draining"}
    bench.run(40)
    assert wish.result(0) is None
    assert len(tokens(running)) == 20
    assert bench.states() == {"one": "loaded"}


def test_a_wish_that_was_late_is_one_for_the_newest(bench: Bench) -> None:
    bench.submit(30, edition=2)
    bench.run()
    loaded = bench.loader.runners["one"]
    wish = bench.engine.load(installed("one", edition=1))
    bench.run(2)
    assert wish.result(0) is None
    assert bench.states() == {"one": "loaded"} and not loaded.closed
    assert len(bench.pool._residents) == 1


def test_unloading_gives_up_the_wish_for_the_new_one(bench: Bench) -> None:
    running = bench.submit(20, max_tokens=20, edition=1)
    bench.run(6)
    wish = bench.engine.load(installed("one", edition=2))
    effect = bench.engine.unload("one")
    bench.run(40)
    assert effect.result(0) == "one is draining: 1 request will finish first."
    assert isinstance(wish.exception(0), Conflict)
    assert len(tokens(running)) == 20
    assert bench.states() == {}


@pytest.mark.parametrize("steps", range(12))
def test_whatever_happens_when_nothing_is_left_held(bench: Bench, steps: int) -> None:
    sequences = []
    for edition in (1, 2, 3, 2, 4):
        sequences += [bench.submit(20, edition=edition)]
        bench.run(steps)
    bench.run(60)
    [model] = bench.engine.snapshot.models
    assert (model.state, model.leases, model.reserved_bytes) == ("loaded", 0, 0)
    assert len(bench.pool._residents) == 1
    for sequence in sequences:
        parcels = failure(sequence)
        assert parcels is None or isinstance(parcels, ModelReplaced)
