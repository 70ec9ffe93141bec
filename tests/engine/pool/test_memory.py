"""Memory is promised before it is taken, and a lowered limit is obeyed without cutting anybody off."""

from __future__ import annotations

import pytest

from tests.engine.conftest import Bench, drain, failure, gb, installed, tokens
from webapp.engine.limits import Limits, Timeouts
from webapp.engine.memory import MemoryLimit
from webapp.engine.sequence import End
from webapp.errors import OutOfMemory, TimedOut


def test_prefix_caches_of_busy_models_make_room_before_anybody_waits(bench: Bench) -> None:
    busy = bench.submit(20, model="one", max_tokens=100, weights_bytes=500)
    bench.run(6)
    bench.loader.runners["one"].keep(*[100] * 3)
    other = bench.submit(30, model="two", weights_bytes=400)
    bench.run(8)
    assert tokens(other) == [31, 32, 33]
    assert bench.loader.runners["one"].prefix_cache_bytes == 100
    assert failure(busy) is None


def test_an_idle_model_makes_room_and_a_busy_one_does_not(bench: Bench) -> None:
    busy = bench.submit(20, model="one", max_tokens=20, weights_bytes=600)
    bench.run(6)
    other = bench.submit(30, model="two", weights_bytes=600)
    bench.run(5)
    assert tokens(other) == []
    bench.run(40)
    assert len(tokens(busy)) > 0
    assert tokens(other) == [31, 32, 33]
    assert bench.loader.runners["one"].closed


def test_a_model_that_never_fits_is_refused_with_the_numbers(bench: Bench) -> None:
    sequence = bench.submit(20, weights_bytes=int(5e9))
    bench.run()
    error = failure(sequence)
    assert isinstance(error, OutOfMemory)
    assert "5.0 GB" in str(error)
    assert "the memory limit is 1 kB" in str(error)
    assert error.retry_after_seconds is None


def test_two_loads_at_once_never_exceed_the_limit_together(bench: Bench) -> None:
    one = bench.submit(20, model="one", weights_bytes=600)
    two = bench.submit(30, model="two", weights_bytes=600)
    most = 0
    for _ in range(40):
        bench.run(1)
        most = max(most, bench.pool.budget.committed_bytes)
    assert (tokens(one), tokens(two)) == ([21, 22, 23], [31, 32, 33])
    assert most <= 1000


def test_an_answer_that_does_not_fit_beside_another_waits_for_it(bench: Bench) -> None:
    bench.loader.token_bytes = 10
    first = bench.submit(20, max_tokens=59, weights_bytes=100)
    second = bench.submit(30, max_tokens=59, weights_bytes=100)
    bench.run(8)
    assert bench.engine.snapshot.running == 1
    assert bench.engine.snapshot.requests[1].waits_for_memory
    bench.run(150)
    assert len(tokens(first)) == len(tokens(second)) == 59


def test_a_padded_batch_counts_every_row_at_its_longest(bench: Bench) -> None:
    bench.loader.token_bytes = 10
    bench.submit(20, max_tokens=59, weights_bytes=100)
    bench.submit(30, max_tokens=3, weights_bytes=100)
    bench.run(8)
    assert (bench.engine.snapshot.running, bench.engine.snapshot.waiting) == (1, 1)


def test_an_answer_that_never_fits_is_refused_alone_and_before_it_begins(bench: Bench) -> None:
    bench.loader.token_bytes = 10
    huge, small = bench.submit(20, max_tokens=100), bench.submit(30, max_tokens=3)
    bench.run()
    error = failure(huge)
    assert isinstance(error, OutOfMemory)
    assert error.retry_after_seconds is None
    assert "max_tokens" in str(error)
    assert tokens(small) == [31, 32, 33]


def test_an_answer_of_our_own_length_is_shortened_to_what_fits(bench: Bench) -> None:
    bench.loader.token_bytes = 10
    answer = bench.submit(20, max_tokens=2048, length_is_ours=True)
    bench.run(150)
    assert len(tokens(answer)) == 89
    assert failure(answer) is None


def test_prefix_caches_give_way_to_an_answer_before_a_model_is_evicted(bench: Bench) -> None:
    bench.loader.token_bytes = 10
    bench.submit(20, model="one")
    bench.submit(20, model="two")
    bench.run()
    bench.loader.runners["one"].keep(*[100] * 5)
    answer = bench.submit(20, model="two", max_tokens=59)
    bench.run(80)
    assert len(tokens(answer)) == 59
    assert bench.loader.runners["one"].prefix_cache_bytes == 200
    assert not bench.loader.runners["one"].closed


def test_the_prefix_cache_never_takes_what_is_promised(bench: Bench) -> None:
    bench.loader.token_bytes = 10
    bench.submit(20, max_tokens=79)
    bench.run(8)
    bench.loader.runners["one"].keep(*[100] * 9)
    bench.run(1)
    assert bench.loader.runners["one"].prefix_cache_bytes == 100


def test_who_waited_for_memory_until_the_queue_timeout_is_told_the_numbers(bench: Bench) -> None:
    bench.configure(timeouts=Timeouts(queue_seconds=2))
    bench.submit(20, model="one", max_tokens=1000, weights_bytes=600)
    bench.run(5)
    other = bench.submit(30, model="two", weights_bytes=600)
    bench.run(50)
    error = failure(other)
    assert isinstance(error, OutOfMemory)
    assert error.retry_after_seconds
    assert "1 kB more are needed; the memory limit is 1 kB" in str(error)


def test_who_waits_for_memory_is_who_found_none_and_not_who_is_older(bench: Bench) -> None:
    bench.loader.token_bytes = 1
    bench.configure(batch_size=2)
    leader = bench.submit(*range(100, 200), max_tokens=300)
    bench.run(4)
    leader.state = "prefill"  # it goes on computing its prompt, for which the next one waits
    follower = bench.submit(*range(100, 200), max_tokens=100)
    large = bench.submit(20, max_tokens=500)
    bench.run(3)
    assert marked(bench) == {large.id}
    assert follower.state == "waiting"


def test_the_mark_goes_when_memory_is_no_longer_what_is_waited_for(bench: Bench) -> None:
    busy = bench.submit(20, model="one", max_tokens=20, weights_bytes=600)
    bench.run(6)
    other = bench.submit(30, model="two", weights_bytes=600)
    bench.run(3)
    assert marked(bench) == {other.id}
    bench.engine.cancel(busy.id)
    bench.run(1)
    assert bench.states()["two"] == "loading"
    assert marked(bench) == set()


def test_who_timed_out_after_waiting_for_memory_once_is_told_of_the_queue(bench: Bench) -> None:
    bench.loader.token_bytes = 10
    bench.configure(timeouts=Timeouts(queue_seconds=2))
    first = bench.submit(20, max_tokens=59)
    second = bench.submit(30, max_tokens=59)
    bench.run(8)
    assert marked(bench) == {second.id}
    bench.configure(batch_size=1)
    bench.run(1)
    assert marked(bench) == set()
    bench.run(40)
    assert failure(first) is None
    assert isinstance(failure(second), TimedOut)


def marked(bench: Bench) -> set[str]:
    bench.clock.now += 0.1  # a snapshot is due
    bench.engine.step()
    return {request.id for request in bench.engine.snapshot.requests if request.waits_for_memory}


# The limit is lowered


def test_a_lowered_limit_evicts_the_idle_at_once_and_lets_the_busy_finish(bench: Bench) -> None:
    bench.submit(20, model="idle", weights_bytes=300)
    bench.run()
    busy = [bench.submit(20, model="busy", max_tokens=40, weights_bytes=300) for _ in range(3)]
    bench.run(8)
    effects = bench.configure(memory=gb(400))
    assert effects == ["idle was evicted."]
    assert bench.states() == {"busy": "loaded"}
    bench.run(60)
    assert busy and all(len(tokens(sequence)) == 40 for sequence in busy)


def test_a_model_that_no_longer_fits_drains_and_its_later_requests_are_refused(bench: Bench) -> None:
    running = bench.submit(20, max_tokens=40, weights_bytes=300)
    bench.run(8)
    effects = bench.configure(memory=gb(200))
    assert effects == [
        "one is draining: 1 request will finish or wait.",
        "Over the limit by 0 kB, waiting for 1 request.",
    ]
    later = bench.submit(30, weights_bytes=300)
    bench.run(1)
    assert bench.states() == {"one": "draining"}
    assert bench.engine.snapshot.over_bytes == 100
    bench.run(60)
    assert len(tokens(running)) == 40
    assert isinstance(failure(later), OutOfMemory)
    assert bench.engine.snapshot.used_bytes == 0


def test_of_two_busy_models_only_as_many_drain_as_must(bench: Bench) -> None:
    older = bench.submit(20, model="older", max_tokens=40, weights_bytes=300)
    bench.run(8)
    newer = bench.submit(30, model="newer", max_tokens=40, weights_bytes=300)
    bench.run(8)
    bench.configure(memory=gb(400))
    assert bench.states() == {"older": "draining", "newer": "loaded"}
    waiting = bench.submit(20, model="older", weights_bytes=300)
    bench.run(100)
    assert [len(tokens(each)) for each in (older, newer, waiting)] == [40, 40, 3]
    assert bench.states() == {"older": "loaded"}


def test_a_limit_raised_again_stops_the_draining(bench: Bench) -> None:
    bench.submit(20, max_tokens=100, weights_bytes=300)
    bench.run(8)
    bench.configure(memory=gb(200))
    bench.configure(memory=gb(1000))
    assert bench.states() == {"one": "loaded"}


def test_kv_over_a_lowered_limit_admits_nobody_until_it_is_back_below(bench: Bench) -> None:
    bench.loader.token_bytes = 5
    running = [bench.submit(20, max_tokens=49, weights_bytes=100) for _ in range(3)]
    bench.run(8)
    assert bench.engine.snapshot.running == 3
    bench.configure(memory=gb(400))
    later = bench.submit(30, max_tokens=9, weights_bytes=100)
    bench.run(5)
    assert bench.engine.snapshot.waiting == 1
    bench.run(100)
    assert [len(tokens(each)) for each in running] == [49] * 3
    assert drain(later)[-1] == End("length")


def test_a_load_that_no_longer_fits_is_given_up(bench: Bench) -> None:
    sequence = bench.submit(20, weights_bytes=300)
    bench.run(1)
    bench.configure(memory=gb(200))
    bench.run(3)
    assert isinstance(failure(sequence), OutOfMemory)


def test_pinned_models_stay_over_a_lowered_limit(bench: Bench) -> None:
    bench.configure(pinned=frozenset({"one"}))
    bench.submit(20, weights_bytes=300)
    bench.run()
    assert bench.configure(memory=gb(200)) == ["Over the limit by 0 kB, which pinned models hold."]
    assert bench.states() == {"one": "loaded"}
    assert bench.engine.snapshot.over_bytes == 100


def test_percent_is_of_the_devices_memory(bench: Bench) -> None:
    bench.configure(memory=MemoryLimit("percent", 40))
    assert bench.pool.budget.limit_bytes == 400


def test_a_load_by_hand_that_never_fits_says_so(bench: Bench) -> None:
    done = bench.engine.load(installed("huge", 5000))
    bench.run(2)
    with pytest.raises(OutOfMemory, match="needs 5 kB"):
        done.result(0)


def test_fairness_two_models_of_which_one_fits_take_turns() -> None:
    bench = Bench(Limits(batch_size=4, max_waiting=99))
    longest = 0
    waiting: dict[str, list[tuple[int, object]]] = {"one": [], "two": []}
    swaps = steps = 0
    loaded_last = None
    while swaps < 100 and steps < 5000:
        for model, queue in waiting.items():
            queue[:] = [(since, sequence) for since, sequence in queue if not _ended(sequence)]
            while len(queue) < 3:
                queue.append((steps, bench.submit(20, model=model, weights_bytes=600)))
        bench.run(1)
        steps += 1
        longest = max(longest, *(steps - since for queue in waiting.values() for since, _ in queue))
        loaded = next((m.id for m in bench.engine.snapshot.models if m.state == "loaded"), loaded_last)
        swaps += loaded != loaded_last
        loaded_last = loaded
    assert swaps == 100
    # A turn is three slices of loading and four steps of answering; nobody waits for more than two others' turns.
    assert longest <= 3 * 8
    assert bench.pool.budget.used_bytes <= 600


def _ended(sequence: object) -> bool:
    return any(isinstance(parcel, End) for parcel in drain(sequence))  # type: ignore[arg-type]
