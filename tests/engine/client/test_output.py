from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.conftest import Bench, HandClock
from webapp.engine.client.output import Answer, Splitter
from webapp.engine.mlx.prompts.formats import MlxTextMachine
from webapp.engine.sequence import End, Failed, Progress, Sequence, Token
from webapp.errors import EngineFailed
from webapp.generation import Event, Finish, Prefill, Text
from webapp.stream import collect

THINKS = {"normal": [("<think>", "reasoning")], "reasoning": [("</think>", "normal")]}


class Letters:
    """A detokenizer whose tokens are code points; holds back a high surrogate like an unfinished byte."""

    def __init__(self) -> None:
        self._text = ""

    def add_token(self, token: int) -> None:
        self._text += chr(token)

    def finalize(self) -> None:
        pass

    @property
    def last_segment(self) -> str:
        segment, self._text = self._text, ""
        return segment


def splitter(stop: tuple[str, ...] = (), in_reasoning: bool = False) -> Splitter:
    transitions: dict[str, list[tuple[str, str | None]]] = {state: list(edges) for state, edges in THINKS.items()}
    transitions["normal"] += [(text, None) for text in stop]
    machine = MlxTextMachine(transitions, "reasoning" if in_reasoning else "normal")
    return Splitter(Letters(), machine, stop_strings=stop)


@pytest.fixture
def sequence(bench: Bench) -> Sequence:
    return bench.submit(1, 2, 3)


def events(sequence: Sequence, text: str, split: Splitter, stops: list[str] | None = None) -> Iterator[Event]:
    """What the engine's parcels for `text` become."""
    sequence.outbox.put(Progress(3, 3))
    for letter in text:
        sequence.outbox.put(Token(ord(letter)))
    sequence.outbox.put(End("length"))
    asked = stops if stops is not None else []
    return Answer(sequence, split, stop=lambda: asked.append("stop"), clock=HandClock()).events()


def test_events_come_in_order_and_end_with_finish(sequence: Sequence) -> None:
    first, *texts, last = events(sequence, "hey", splitter())
    assert first == Prefill(3, 3)
    assert texts == [Text("h"), Text("e"), Text("y")]
    assert isinstance(last, Finish)
    assert (last.reason, last.usage.prompt_tokens, last.usage.completion_tokens) == ("length", 3, 3)


@pytest.mark.parametrize(
    ("text", "stop", "which"),
    [
        ("one END two", ("two", "END"), "END"),
        ("one ENEND", ("END",), "END"),
        ("x\n\ny", ("\n", "\n\n"), "\n"),
        ("abcd", ("cd", "bcd"), "bcd"),
        ("<think>END</think>STOP", ("STOP", "END"), "STOP"),
        ("one EN", ("END",), None),
    ],
)
def test_the_stop_string_that_ended_it_is_named(
    sequence: Sequence, text: str, stop: tuple[str, ...], which: str | None
) -> None:
    assert collect(events(sequence, text, splitter(stop))).finish.stop_string == which


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one END two", ("END",), "one "),
        ("one EN", ("END",), "one EN"),
        ("one ENEND", ("END",), "one EN"),
        ("abab", ("bab", "zz"), "a"),
        ("x\n\ny", ("\n\n",), "x"),
        ("STOP", ("STOP",), ""),
    ],
)
def test_a_stop_string_ends_the_answer_and_is_never_shown(
    sequence: Sequence, text: str, stop: tuple[str, ...], expected: str
) -> None:
    asked: list[str] = []
    whole = collect(events(sequence, text, splitter(stop), asked))
    stopped = text != expected
    assert whole.text == expected
    assert whole.finish.reason == ("stop" if stopped else "length")
    assert asked == (["stop"] if stopped else [])


def test_thinking_is_told_from_the_answer_and_counted(sequence: Sequence) -> None:
    whole = collect(events(sequence, "<think>why</think>so", splitter(stop=("why",))))
    assert (whole.reasoning, whole.text) == ("why", "so")
    assert whole.finish.usage.reasoning_tokens == len(">why</think>")
    assert whole.finish.usage.completion_tokens == len("<think>why</think>so")


def test_a_template_may_open_the_thinking(sequence: Sequence) -> None:
    whole = collect(events(sequence, "why</think>so", splitter(in_reasoning=True)))
    assert (whole.reasoning, whole.text) == ("why", "so")


@pytest.mark.parametrize("text", ["<think>\nwhy\n</think>\n\n so\n", "  <think>why\n</think>so\n"])
def test_white_space_behind_a_marker_belongs_to_it(sequence: Sequence, text: str) -> None:
    whole = collect(events(sequence, text, splitter()))
    assert (whole.reasoning, whole.text.removeprefix("  ")) == ("why\n", "so\n")


def test_white_space_of_an_answer_without_thinking_is_its_own(sequence: Sequence) -> None:
    assert collect(events(sequence, "\n\n so", splitter())).text == "\n\n so"


def test_markers_cut_off_by_the_end_are_text(sequence: Sequence) -> None:
    assert collect(events(sequence, "a <thin", splitter())).text == "a <thin"


def test_a_failure_is_raised_where_the_stream_is_read(sequence: Sequence) -> None:
    sequence.outbox.put(Failed(EngineFailed("broken")))
    answer = Answer(sequence, splitter(), stop=lambda: None, clock=HandClock())
    with pytest.raises(EngineFailed, match="broken"):
        collect(answer.events())
