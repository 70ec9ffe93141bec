from __future__ import annotations

from itertools import pairwise
from queue import SimpleQueue
from threading import Thread

import pytest

from tests.engine.conftest import Bench, CountingRunner, drain, failure, installed, tokens
from webapp.engine.commands import Command, Submit
from webapp.engine.sequence import End, Failed, Progress, Token
from webapp.errors import EngineFailed, EngineStopped, ModelLoadFailed, QueueFull


def test_a_request_is_answered_in_order(bench: Bench) -> None:
    sequence = bench.submit(4, 5)
    bench.run()
    assert drain(sequence) == [Progress(0, 2), Progress(2, 2), Token(6), Token(7), Token(8), End("length")]
    assert bench.engine.snapshot.requests == ()


def test_requests_share_one_batch_and_join_at_any_step(bench: Bench) -> None:
    first = bench.submit(20, max_tokens=10)
    bench.run(6)
    second = bench.submit(30, max_tokens=3)
    bench.run()
    assert tokens(first) == list(range(21, 31))
    assert tokens(second) == [31, 32, 33]
    assert bench.loader.runners["one"].largest_batch == 2


def test_the_batch_size_is_a_limit_that_can_change_while_running(bench: Bench) -> None:
    bench.configure(batch_size=1, max_waiting=9)
    sequences = [bench.submit(20 + i, max_tokens=2) for i in range(3)]
    bench.run()
    assert bench.loader.runners["one"].largest_batch == 1
    assert [len(tokens(sequence)) for sequence in sequences] == [2, 2, 2]
    bench.configure(batch_size=3)
    for i in range(3):
        bench.submit(20 + i)
    bench.run()
    assert bench.loader.runners["one"].largest_batch == 3


def test_a_full_queue_refuses(bench: Bench) -> None:
    for _ in range(6):
        bench.submit(1)
    with pytest.raises(QueueFull):
        bench.submit(1)
    bench.submit(1, model="two")


@pytest.mark.parametrize("steps", [0, 1, 2, 4, 6])
def test_cancel_frees_the_place_in_queue_load_prefill_and_decode(bench: Bench, steps: int) -> None:
    sequence = bench.submit(20, max_tokens=1000)
    bench.run(steps)
    assert bench.engine.cancel(sequence.id)
    bench.run(2)
    assert bench.engine.snapshot.requests == ()
    assert drain(sequence)[-1] == End("cancelled")
    assert not bench.engine.cancel(sequence.id)
    assert bench.engine.snapshot.models == () or bench.engine.snapshot.models[0].leases == 0


def test_a_request_ends_with_all_its_parts_and_by_its_whole_id_only(bench: Bench) -> None:
    first, second = (bench.submit(20, max_tokens=1000, request_id="whole-1") for _ in range(2))
    others = [bench.submit(20, max_tokens=1000, request_id=name) for name in ("whole-1-0", "whole-10")]
    bench.run(6)
    for part_of_an_id in ("whole", "whole-", "request", ""):
        assert not bench.engine.cancel_request(part_of_an_id, "api", lambda owner: True)
    assert bench.engine.cancel_request("whole-1", "api", lambda owner: True)
    bench.run(1)
    assert drain(first)[-1] == drain(second)[-1] == End("cancelled")
    assert (first.cancelled_by, second.cancelled_by) == ("api", "api")
    assert {each.id for each in bench.engine.snapshot.requests} == {each.id for each in others}
    assert not bench.engine.cancel_request("whole-1", "api", lambda owner: True)


def test_a_part_ends_alone_by_its_own_id(bench: Bench) -> None:
    first, second = (bench.submit(20, max_tokens=1000, request_id="whole") for _ in range(2))
    assert bench.engine.cancel_request(first.id, "page", lambda owner: True)
    bench.run(6)
    assert drain(first)[-1] == End("cancelled")
    assert [each.id for each in bench.engine.snapshot.requests] == [second.id]


def test_what_may_not_be_cancelled_goes_on(bench: Bench) -> None:
    sequence = bench.submit(20, max_tokens=1000, owner="ada")
    assert not bench.engine.cancel_request(sequence.id, "api", lambda owner: owner == "ben")
    bench.run(6)
    assert [each.id for each in bench.engine.snapshot.requests] == [sequence.id]
    assert bench.engine.cancel_request(sequence.id, "api", lambda owner: owner == "ada")
    bench.run(1)
    assert bench.engine.snapshot.requests == ()


def test_a_cancel_never_gets_ahead_of_what_it_cancels(bench: Bench) -> None:
    class Slow(SimpleQueue[Command]):
        """Somebody cancels just before a command is in."""

        def put(self, command: Command, block: bool = True, timeout: float | None = None) -> None:
            if isinstance(command, Submit):
                canceller.start()
                canceller.join(0.05)
            super().put(command)

    canceller = Thread(target=bench.engine.cancel, args=("request-0",))
    bench.engine._inbox = Slow()
    sequence = bench.submit(20, max_tokens=1000)
    canceller.join()
    bench.run()
    assert drain(sequence)[-1] == End("cancelled")
    assert bench.states() == {}


def test_a_request_that_cannot_be_admitted_fails_alone(bench: Bench) -> None:
    good, bad = bench.submit(20), bench.submit(CountingRunner.REFUSED)
    bench.run()
    assert tokens(good) == [21, 22, 23]
    assert isinstance(failure(bad), EngineFailed)


def test_a_broken_batch_is_rebuilt_and_the_engine_goes_on(bench: Bench) -> None:
    neighbour, poison = bench.submit(20, max_tokens=50), bench.submit(11, max_tokens=50)
    bench.run()
    assert isinstance(failure(neighbour), EngineFailed)
    assert isinstance(failure(poison), EngineFailed)
    later = bench.submit(20)
    bench.run()
    assert tokens(later) == [21, 22, 23]


def test_who_ends_in_the_step_that_breaks_is_told_too(bench: Bench) -> None:
    ending, poison = bench.submit(20, max_tokens=2), bench.submit(11, max_tokens=50)
    bench.run()
    assert isinstance(failure(ending), EngineFailed)
    assert isinstance(failure(poison), EngineFailed)
    assert bench.engine.snapshot.requests == ()
    assert bench.engine.snapshot.models[0].leases == 0


def test_a_cold_model_is_loaded_once_for_all_who_wait(bench: Bench) -> None:
    sequences = [bench.submit(20 + i) for i in range(3)]
    bench.run(1)
    assert bench.engine.snapshot.models[0].state == "loading"
    bench.run()
    assert bench.engine.snapshot.models[0].state == "loaded"
    assert sequences and all(len(tokens(sequence)) == 3 for sequence in sequences)


def test_a_failed_load_tells_everybody_why_and_may_be_tried_again(bench: Bench) -> None:
    bench.loader.errors["one"] = ValueError("bad shapes")
    sequences = [bench.submit(20), bench.submit(21)]
    bench.run()
    for sequence in sequences:
        error = failure(sequence)
        assert isinstance(error, ModelLoadFailed)
        assert "bad shapes" in str(error)
    assert bench.engine.snapshot.models[0].state == "failed"
    again = bench.submit(20)
    bench.run()
    assert tokens(again) == [21, 22, 23]


def test_each_of_those_a_failure_ends_gets_an_error_of_its_own(bench: Bench) -> None:
    bench.loader.errors["one"] = ModelLoadFailed("bad shapes")
    wishes = [bench.engine.load(installed("one")) for _ in range(2)]
    sequences = [bench.submit(20), bench.submit(21)]
    bench.run()
    errors = [*(failure(sequence) for sequence in sequences), *(wish.exception(0) for wish in wishes)]
    assert {(type(error), str(error)) for error in errors} == {(ModelLoadFailed, "bad shapes")}
    assert len({id(error) for error in errors}) == 4
    assert all(error is not None and error.__traceback__ is None for error in errors)


def test_those_whom_a_stop_ends_get_errors_of_their_own(bench: Bench) -> None:
    sequences = [bench.submit(20, max_tokens=10**9) for _ in range(3)]
    bench.engine.start()
    bench.engine.stop()
    errors = [failure(sequence) for sequence in sequences]
    assert all(isinstance(error, EngineStopped) for error in errors)
    assert len({id(error) for error in errors}) == 3


def test_a_senseless_model_folder_fails_its_own_requests_only(bench: Bench) -> None:
    senseless = bench.submit(20, model="senseless", weights_bytes=-1)
    sound = bench.submit(20, model="sound")
    bench.run()
    assert isinstance(failure(senseless), ModelLoadFailed)
    assert tokens(sound) == [21, 22, 23]


def test_what_a_cancel_leaves_in_the_prefix_cache_is_within_its_budget(bench: Bench) -> None:
    bench.configure(prefix_cache_bytes=1)
    sequence = bench.submit(20, 21, 22, max_tokens=1000)
    bench.run(6)
    bench.engine.cancel(sequence.id)
    bench.run(1)
    assert bench.loader.runners["one"].prefix_cache_bytes == 1


def test_a_seed_is_drawn_at_admission_for_who_brings_none(bench: Bench) -> None:
    bench.configure(batch_size=2)
    waiting = [bench.submit(20), bench.submit(21, seed=5), bench.submit(22)]
    assert [sequence.seed for sequence in waiting] == [0, 0, 0]
    bench.run()
    assert [sequence.seed for sequence in waiting] == [1000, 5, 1001]


def test_a_long_prompt_is_computed_in_chunks_that_running_answers_and_the_setting_allow(bench: Bench) -> None:
    bench.loader.token_seconds = 1 / 512
    running = bench.submit(20, max_tokens=1000)
    bench.run(6)
    chunks = {}
    for name, limits in {"pause": {"stall_seconds": 0.125}, "setting": {"prefill_tokens": 40}}.items():
        bench.configure(**limits)
        long = bench.submit(*range(30, 230))
        bench.run(10)
        done = [parcel.done_tokens for parcel in drain(long) if isinstance(parcel, Progress)]
        chunks[name] = [after - before for before, after in pairwise(done)]
    assert chunks["setting"] == [40] * 5
    assert sum(chunks["pause"]) == 200 and 55 < chunks["pause"][0] <= max(chunks["pause"]) <= 70
    bench.engine.cancel(running.id)


@pytest.mark.parametrize(("token_seconds", "chunk_tokens"), [(1 / 8000, 1600), (1 / 250, 50)])
def test_steps_teach_how_much_of_a_text_fits_into_one(bench: Bench, token_seconds: float, chunk_tokens: int) -> None:
    bench.loader.token_seconds = token_seconds
    for _ in range(3):
        bench.submit(*[7] * 9000, embeds=True)
        bench.run(200)
    plans = bench.loader.runners["one"].plans
    assert plans[0].text_tokens == 102
    assert plans[-1].text_tokens == pytest.approx(chunk_tokens, rel=0.02)


def test_several_models_step_in_turn(bench: Bench) -> None:
    one = bench.submit(20, model="one", max_tokens=8)
    two = bench.submit(30, model="two", max_tokens=8)
    bench.run()
    assert len(tokens(one)) == len(tokens(two)) == 8
    assert [model.state for model in bench.engine.snapshot.models] == ["loaded", "loaded"]


def test_lowering_the_prefix_budget_trims_at_once(bench: Bench) -> None:
    bench.submit(20)
    bench.run()
    runner = bench.loader.runners["one"]
    runner.keep(*[100] * 5)
    bench.configure(prefix_cache_bytes=200)
    assert runner.prefix_cache_bytes == 200
    runner.keep(*[100] * 5)
    assert runner.prefix_cache_bytes == 200


def test_health_follows_the_heartbeat(bench: Bench) -> None:
    assert not bench.engine.health().ok
    bench.engine.start()
    assert bench.engine.health().ok
    bench.clock.now += 60
    sequence = bench.submit(20)
    sequence.outbox.get(timeout=5)
    bench.engine.stop()
    assert bench.engine.health().reason == "The engine thread is not running."


def test_stopping_fails_what_still_runs_and_refuses_more(bench: Bench) -> None:
    bench.engine.start()
    sequence = bench.submit(20, max_tokens=10**9)
    bench.engine.stop()
    while not isinstance(parcel := sequence.outbox.get(timeout=5), Failed):
        pass
    assert isinstance(parcel.error, EngineStopped)
    with pytest.raises(EngineStopped):
        bench.submit(20)
