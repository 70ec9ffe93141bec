from __future__ import annotations

import pytest

from tests.engine.conftest import Bench, failure, tokens
from webapp.engine.limits import Timeouts
from webapp.errors import TimedOut


@pytest.mark.parametrize(
    ("timeouts", "batch_size", "setting"),
    [
        (Timeouts(queue_seconds=3), 1, "queue timeout"),
        (Timeouts(first_token_seconds=3), 1, "first token timeout"),
        (Timeouts(total_seconds=3), 1, "total timeout"),
    ],
)
def test_a_request_that_waits_too_long_ends_and_names_the_setting(
    bench: Bench, timeouts: Timeouts, batch_size: int, setting: str
) -> None:
    bench.configure(batch_size=batch_size)
    running = bench.submit(20, max_tokens=500)
    bench.run(8)
    bench.configure(timeouts=timeouts)
    waiting = bench.submit(30)
    bench.run(100)
    error = failure(waiting)
    assert isinstance(error, TimedOut)
    assert setting in str(error)
    assert failure(running) is None
    assert bench.engine.snapshot.waiting == 0


def test_the_total_timeout_ends_a_running_answer_and_frees_its_place(bench: Bench) -> None:
    bench.configure(timeouts=Timeouts(total_seconds=2))
    slow, quick = bench.submit(20, max_tokens=500), bench.submit(30, max_tokens=2)
    bench.run(60)
    assert tokens(quick) == [31, 32]
    assert isinstance(failure(slow), TimedOut)
    assert bench.engine.snapshot.requests == ()
    assert bench.loader.runners["one"].sequences() == ()


def test_a_running_request_keeps_the_timeouts_it_was_admitted_under(bench: Bench) -> None:
    running = bench.submit(20, max_tokens=100)
    bench.run(8)
    bench.configure(timeouts=Timeouts(total_seconds=1))
    bench.run(150)
    assert len(tokens(running)) == 100


def test_an_answer_with_a_first_token_has_no_first_token_timeout(bench: Bench) -> None:
    bench.configure(timeouts=Timeouts(first_token_seconds=2, queue_seconds=1))
    running = bench.submit(20, max_tokens=100)
    bench.run(150)
    assert len(tokens(running)) == 100
