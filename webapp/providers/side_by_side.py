"""Several answers to one request, generated side by side and read as one stream. Knows no engine."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from queue import SimpleQueue

from webapp.errors import HearthError
from webapp.generation import Choice, Completion, Event, Finish, Prefill, Reasoning, Text, Timing, ToolCall, Usage
from webapp.stream import Stream, collect

# An event, the failure of a whole answer, or None at the end of a stream.
Parcel = Event | HearthError | None


def side_by_side(streams: Sequence[Stream], prompts: int | None = None) -> Stream:
    """One stream of the events of all; closing it, or the failure of one, closes all.

    With fewer `prompts` than streams each has several answers, and usage counts each prompt's tokens once.
    """

    def close() -> None:
        for stream in streams:
            stream.close()

    return Stream(_merged(streams, prompts or len(streams)), close, answered_by=streams[0].answered_by)


def collect_all(events: Iterator[Event], count: int) -> tuple[list[Completion], Usage]:
    """Collect a stream into its `count` answers and their usage together."""
    if count == 1:
        completion = collect(events)
        return [completion], completion.finish.usage
    of_each: list[list[Event]] = [[] for _ in range(count)]
    for event in events:
        match event:
            case Choice():
                of_each[event.index].append(event.event)
            case Finish():
                return [collect(iter(own)) for own in of_each], event.usage
    raise RuntimeError("a stream ended without a Finish event")


def _merged(streams: Sequence[Stream], prompts: int) -> Iterator[Event]:
    """Merge the events of all streams. A thread for each reads it, so that one can stop without waiting for others."""
    inbox: SimpleQueue[tuple[int, Parcel]] = SimpleQueue()
    for index, stream in enumerate(streams):
        threading.Thread(target=_read, args=(index, stream, inbox), name=f"choice-{index}", daemon=True).start()
    finishes: dict[int, Finish] = {}
    open_streams = len(streams)
    while open_streams:
        index, parcel = inbox.get()
        match parcel:
            case None if index not in finishes:
                raise RuntimeError("a stream ended without a Finish event")
            case None:
                open_streams -= 1
            case HearthError():
                for stream in streams:
                    stream.close()
                raise parcel
            case Prefill():
                yield parcel
            case Text() | Reasoning() | ToolCall():
                yield Choice(index, parcel)
            case Finish():
                finishes[index] = parcel
                yield Choice(index, parcel)
    answers = len(streams) // prompts
    yield _sum([finishes[index] for index in sorted(finishes)], {i for i in finishes if i % answers == 0})


def _read(index: int, stream: Stream, inbox: SimpleQueue[tuple[int, Parcel]]) -> None:
    try:
        for event in stream:
            inbox.put((index, event))
    except HearthError as error:
        inbox.put((index, error))
    finally:
        inbox.put((index, None))


def _sum(finishes: list[Finish], firsts: Collection[int]) -> Finish:
    """The Finish of the whole request: cancelled if one answer was, otherwise with the last answer's reason.

    `firsts` are the first answers to each prompt, whose tokens count.
    """
    last = next((finish for finish in finishes if finish.reason == "cancelled"), finishes[-1])
    used = [finish.usage for finish in finishes]
    timings = [finish.timing for finish in finishes]
    first_tokens = [timing.ttft_seconds for timing in timings if timing.ttft_seconds is not None]
    return Finish(
        last.reason,
        Usage(
            prompt_tokens=sum(used[index].prompt_tokens for index in firsts),
            completion_tokens=sum(usage.completion_tokens for usage in used),
            cached_tokens=sum(used[index].cached_tokens for index in firsts),
            reasoning_tokens=sum(usage.reasoning_tokens for usage in used),
        ),
        Timing(
            queue_seconds=min(timing.queue_seconds for timing in timings),
            ttft_seconds=min(first_tokens, default=None),
            duration_seconds=max(timing.duration_seconds for timing in timings),
        ),
        cancelled_by=last.cancelled_by,
        unparsed_calls=sum(finish.unparsed_calls for finish in finishes),
    )
