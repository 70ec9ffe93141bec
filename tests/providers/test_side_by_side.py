"""Several streams read as one, without an engine: streams are plain iterators here."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from webapp.errors import EngineFailed
from webapp.generation import Choice, Event, Finish, FinishReason, Prefill, Text, Timing, Usage
from webapp.providers.side_by_side import collect_all, side_by_side
from webapp.stream import Stream


def finish(tokens: int, reason: FinishReason = "stop", ttft: float | None = 0.1) -> Finish:
    return Finish(reason, Usage(5, tokens, 2, 1), Timing(0.01 * tokens, ttft, 1.0 * tokens))


def stream(*events: Event, closed: list[int] | None = None, number: int = 0) -> Stream:
    return Stream(iter(events), lambda: closed.append(number) if closed is not None else None, "m")


def test_each_answer_is_what_it_is_alone() -> None:
    texts = [f"text {number}" for number in range(20)]
    streams = [stream(Prefill(1, 5), *map(Text, text), finish(3)) for text in texts]
    together = side_by_side(streams)
    assert together.answered_by == "m"
    completions, usage = collect_all(together, len(texts))
    assert [completion.text for completion in completions] == texts
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (100, 60, 40)


def test_the_stream_ends_with_one_sum() -> None:
    *events, last = side_by_side([stream(Text("a"), finish(1, "length", None)), stream(finish(2, ttft=0.3))])
    assert {event.index for event in events if isinstance(event, Choice)} == {0, 1}
    assert isinstance(last, Finish) and last.usage.completion_tokens == 3
    assert (last.timing.queue_seconds, last.timing.ttft_seconds, last.timing.duration_seconds) == (0.01, 0.3, 2.0)


def test_one_that_was_cancelled_says_so_for_all() -> None:
    *_, last = side_by_side([stream(finish(1, "cancelled")), stream(finish(1)), stream(finish(1))])
    assert isinstance(last, Finish) and last.reason == "cancelled"


def test_nobody_waits_for_a_slow_neighbour() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[Event]:
        go_on.wait(10)
        yield finish(1)

    together = side_by_side([Stream(slow(), lambda: None), stream(Text("quick"), finish(1))])
    assert [next(together), next(together)] == [Choice(1, Text("quick")), Choice(1, finish(1))]
    go_on.set()
    assert len(list(together)) == 2


def test_the_failure_of_one_ends_all() -> None:
    closed: list[int] = []

    def failing() -> Iterator[Event]:
        raise EngineFailed("broken")
        yield

    streams = [stream(finish(1), closed=closed), Stream(failing(), lambda: closed.append(1), "m")]
    with pytest.raises(EngineFailed):
        list(side_by_side(streams))
    assert closed == [0, 1]


def test_one_that_breaks_off_is_no_end() -> None:
    with pytest.raises(RuntimeError, match="without a Finish"):
        list(side_by_side([stream(finish(1)), stream(Text("a"))]))


def test_closing_it_closes_all() -> None:
    closed: list[int] = []
    side_by_side([stream(closed=closed, number=number) for number in range(3)]).close()
    assert closed == [0, 1, 2]
