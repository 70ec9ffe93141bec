"""Calls in a model's text: every family of parsers, however the text arrives, and what is no call."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.conftest import Bench, HandClock
from webapp.engine.client.output import Answer, Splitter
from webapp.engine.client.tool_calls import CallFormat, CallReader
from webapp.engine.mlx.prompts.formats import MlxTextMachine
from webapp.engine.sequence import End, Sequence, Token
from webapp.generation import Completion, Event, FinishReason, Text, ToolCall
from webapp.stream import collect

OSLO: tuple[str, Any] = ("get_weather", {"city": "Oslo", "days": 2})
NOON: tuple[str, Any] = ("get_time", {"zone": "CET"})
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "get_time",
            "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
        },
    },
]
HERMES = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
HERMES_TIME = '<tool_call>\n{"name": "get_time", "arguments": {"zone": "CET"}}\n</tool_call>'
FAMILIES: list[tuple[str, str, list[tuple[str, Any]]]] = [
    ("json_tools", f"{HERMES}\n{HERMES_TIME}", [OSLO, NOON]),
    (
        "qwen3_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
        "</function></tool_call>\n<tool_call>\n<function=get_time>\n<parameter=zone>\nCET\n</parameter>\n</function></tool_call>",
        [OSLO, NOON],
    ),
    (
        "glm47",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n"
        "<arg_value>2</arg_value>\n</tool_call>\n<tool_call>get_time\n<arg_key>zone</arg_key><arg_value>CET</arg_value></tool_call>",
        [OSLO, NOON],
    ),
    ("laguna", "<tool_call>get_time<arg_key>zone</arg_key><arg_value>CET</arg_value></tool_call>", [NOON]),
    (
        "longcat",
        "<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Oslo"
        "</longcat_arg_value>\n<longcat_arg_key>days</longcat_arg_key>\n<longcat_arg_value>2</longcat_arg_value>\n"
        "</longcat_tool_call>",
        [OSLO],
    ),
    (
        "kimi_k2",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
        '{"city": "Oslo", "days": 2}<|tool_call_end|><|tool_call_begin|>functions.get_time:1'
        '<|tool_call_argument_begin|>{"zone": "CET"}<|tool_call_end|><|tool_calls_section_end|>',
        [OSLO, NOON],
    ),
    (
        "kimi_k3",
        '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|><|open|>argument key="city" type="string"'
        '<|sep|>Oslo<|close|>argument<|sep|><|open|>argument key="days" type="integer"<|sep|>2<|close|>argument<|sep|>'
        '<|close|>call<|sep|><|open|>call tool="get_time" index="2"<|sep|><|open|>json type="object"<|sep|>'
        '{"zone": "CET"}<|close|>json<|sep|><|close|>call<|sep|><|close|>tools<|sep|>',
        [OSLO, NOON],
    ),
    (
        "minimax_m2",
        '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Oslo</parameter>\n'
        '<parameter name="days">2</parameter>\n</invoke>\n<invoke name="get_time">\n'
        '<parameter name="zone">CET</parameter>\n</invoke>\n</minimax:tool_call>',
        [OSLO, NOON],
    ),
    (
        "minicpm5",
        '<function name="get_weather"><param name="city">Oslo</param><param name="days">2</param></function>\n'
        '<function name="get_time"><param name="zone"><![CDATA[CET]]></param></function>',
        [OSLO, NOON],
    ),
    (
        "mistral",
        '[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo", "days": 2}[TOOL_CALLS]get_time[ARGS]{"zone": "CET"}',
        [OSLO, NOON],
    ),
    (
        "mistral",
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}, '
        '{"name": "get_time", "arguments": {"zone": "CET"}}]',
        [OSLO, NOON],
    ),
    (
        "muse_spark",
        '<atem:function_calls>\n<atem:invoke name="get_weather">\n<atem:parameter name="city">Oslo</atem:parameter>\n'
        '<atem:parameter name="days">2</atem:parameter>\n</atem:invoke>\n</atem:function_calls>',
        [OSLO],
    ),
    (
        "pythonic",
        '<|tool_call_start|>[get_weather(city="Oslo", days=2), get_time(zone="CET")]<|tool_call_end|>',
        [OSLO, NOON],
    ),
    (
        "function_gemma",
        "<start_function_call>call:get_weather{city:<escape>Oslo<escape>,days:2}<end_function_call>"
        "<start_function_call>call:get_time{zone:<escape>CET<escape>}<end_function_call>",
        [OSLO, NOON],
    ),
    (
        "gemma4",
        '<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:2}<tool_call|>'
        '<|tool_call>call:get_time{zone:<|"|>CET<|"|>}<tool_call|>',
        [OSLO, NOON],
    ),
]  # fmt: skip


class Pieces:
    """A detokenizer whose tokens are the pieces of a text, in order."""

    def __init__(self, pieces: Seq[str]) -> None:
        self._pieces = pieces
        self.last_segment = ""

    def add_token(self, token: int) -> None:
        self.last_segment = self._pieces[token]

    def finalize(self) -> None:
        self.last_segment = ""


def form_of(family: str) -> CallFormat:
    module = importlib.import_module(f"mlx_lm.tool_parsers.{family}")
    return CallFormat(
        module.tool_call_start, module.tool_call_end, lambda written: module.parse_tool_call(written, TOOLS)
    )


def splitter(pieces: Seq[str], family: str, stop: Iterable[str], only_one: bool) -> Splitter:
    form = form_of(family)
    transitions: dict[str, list[tuple[str, str | None]]] = {
        "normal": [*((text, None) for text in stop), ("<think>", "reasoning"), (form.start, "tool")],
        "reasoning": [("</think>", "normal")],
        "tool": [(form.end, "normal") if form.end else (form.start, "tool")],
    }
    calls = CallReader(form, "r1", only_one)
    return Splitter(Pieces(pieces), MlxTextMachine(transitions, "normal"), calls=calls)


@pytest.fixture
def sequence(bench: Bench) -> Sequence:
    return bench.submit(1, 2, 3)


def events(
    sequence: Sequence,
    pieces: Seq[str],
    family: str = "json_tools",
    reason: FinishReason = "stop",
    stop: Iterable[str] = (),
    only_one: bool = False,
) -> Iterator[Event]:
    """What the engine's parcels for a text in these pieces become."""
    for token in range(len(pieces)):
        sequence.outbox.put(Token(token))
    sequence.outbox.put(End(reason))
    split = splitter(pieces, family, stop, only_one)
    told = list(Answer(sequence, split, stop=lambda: None, clock=HandClock()).events())
    while not sequence.outbox.empty():
        sequence.outbox.get()
    yield from told


def whole(sequence: Sequence, *pieces: str, **ways: Any) -> Completion:
    return collect(events(sequence, pieces, **ways))


def called(completion: Completion) -> list[tuple[str | None, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in completion.tool_calls]


def saying(completion: Completion) -> tuple[object, ...]:
    """All of it but the number of tokens, which here are pieces."""
    return completion.text, completion.reasoning, completion.tool_calls, completion.finish.reason


@pytest.mark.parametrize(("family", "text", "calls"), FAMILIES, ids=[f"{each[0]}-{len(each[1])}" for each in FAMILIES])
def test_every_family_however_its_text_arrives(
    sequence: Sequence, family: str, text: str, calls: list[tuple[str, Any]]
) -> None:
    for framed in (text, f"Let me look.\n{text}\n"):
        plain = whole(sequence, framed, family=family)
        assert called(plain) == calls
        assert plain.text == ("" if framed == text else "Let me look.")
        assert (plain.finish.reason, plain.finish.unparsed_calls) == ("tool_calls", 0)
        assert saying(whole(sequence, *framed, family=family)) == saying(plain)
        for cut in range(1, len(framed)):
            assert saying(whole(sequence, framed[:cut], framed[cut:], family=family)) == saying(plain)


MIXED = (
    f"<think>which one? {HERMES}\n</think>\n\nBoth, I say.\n\n{HERMES}\n{HERMES_TIME}\n\nSo. "
    "<tool_call>{</tool_call> END"
)


@settings(deadline=None)
@given(st.sets(st.integers(1, len(MIXED) - 1)))
def test_no_way_of_arriving_makes_a_difference(cuts: set[int]) -> None:
    bounds = [0, *sorted(cuts), len(MIXED)]
    pieces = [MIXED[start:end] for start, end in pairwise(bounds)]
    split = splitter(pieces, "json_tools", ("END",), only_one=False)
    told = [event for token in range(len(pieces)) for event in split.feed(token)]
    assert "".join(event.text for event in told if isinstance(event, Text)) == (
        "Both, I say.So. <tool_call>{</tool_call> "
    )
    assert [event.name for event in told if isinstance(event, ToolCall) and event.name] == ["get_weather", "get_time"]
    assert (split.stopped, split.unparsed_calls) == (True, 1)


def test_a_call_is_id_and_name_first_and_then_its_arguments(sequence: Sequence) -> None:
    first, second = (list(events(sequence, tuple(f"{HERMES}{HERMES_TIME}")))[:-1] for _ in range(2))
    assert first == second
    made = [piece.id for piece in first if isinstance(piece, ToolCall) and piece.id]
    assert first == [
        ToolCall(0, made[0], "get_weather"),
        ToolCall(0, arguments='{"city": "Oslo", "days": 2}'),
        ToolCall(1, made[1], "get_time"),
        ToolCall(1, arguments='{"zone": "CET"}'),
    ]
    assert len({*made}) == 2 and all(name.startswith("call_") and len(name) == 29 for name in made)


def test_ids_are_the_models_own_where_its_format_has_some(sequence: Sequence) -> None:
    section = (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_time:0<|tool_call_argument_begin|>{}"
        "<|tool_call_end|><|tool_calls_section_end|>"
    )
    first, again = whole(sequence, section, section, family="kimi_k2").tool_calls
    assert first.id == "functions.get_time:0"
    assert again.id is not None and again.id.startswith("call_")


@pytest.mark.parametrize(
    "inside",
    [
        "",
        " \n",
        "{",
        "null",
        "[]",
        "[1]",
        "{}",
        '{"name": 7}',
        '{"name": ""}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": "no json"}',
        '{"name": "f", "arguments": {"x": NaN}}',
        '{"name": "f", "arguments": {"x": "\\ud800"}}',
        '{"name": "\\udc00"}',
        f'[{{"name": "f"}}, {{"name": "{"g"}", "arguments": 1}}]',
        "[" * 20_000,
    ],
    ids=lambda inside: repr(inside)[:40],
)
def test_what_is_no_call_is_text_to_the_letter(sequence: Sequence, inside: str) -> None:
    text = f"  So: \n<tool_call>{inside}</tool_call>\n\n and on.\n"
    plain = whole(sequence, text)
    assert (plain.text, plain.tool_calls) == (text, ())
    assert (plain.finish.reason, plain.finish.unparsed_calls) == ("stop", 1)


@pytest.mark.parametrize("family", sorted({family for family, _, _ in FAMILIES}))
def test_no_parser_breaks_an_answer(sequence: Sequence, family: str) -> None:
    form = form_of(family)
    for inside in ("", "\x00", "}{", "x" * 1000, '{"name": "f", "arguments": {"x": 1e999}}', "[f(x=" + "(" * 3000):
        plain = whole(sequence, f"{form.start}{inside}{form.end}", family=family)
        assert plain.tool_calls or plain.text == f"{form.start}{inside}{form.end}"


@pytest.mark.parametrize("arguments", ['"{\\"zone\\": \\"CET\\"}"', '{"zone": "CET"}'], ids=["text", "object"])
def test_arguments_may_be_json_in_a_string(sequence: Sequence, arguments: str) -> None:
    plain = whole(sequence, f'<tool_call>{{"name": "get_time", "arguments": {arguments}}}</tool_call>')
    assert called(plain) == [NOON]


def test_a_call_without_arguments_has_an_empty_object(sequence: Sequence) -> None:
    assert called(whole(sequence, '<tool_call>{"name": "get_time"}</tool_call>')) == [("get_time", {})]


@pytest.mark.parametrize("reason", ["length", "cancelled"])
def test_cut_off_inside_a_call_the_whole_ones_stay_and_the_rest_is_text(
    sequence: Sequence, reason: FinishReason
) -> None:
    plain = whole(sequence, HERMES, "\n", HERMES_TIME[:-12], reason=reason)
    assert called(plain) == [OSLO]
    assert plain.text == HERMES_TIME[:-12]
    assert (plain.finish.reason, plain.finish.unparsed_calls) == (reason, 1)


def test_an_end_marker_may_be_missing_where_the_model_stops_by_itself(sequence: Sequence) -> None:
    unended = HERMES.removesuffix("</tool_call>")
    assert called(whole(sequence, unended)) == [OSLO]
    assert whole(sequence, unended, reason="length").text == unended
    assert whole(sequence, HERMES[:-3]).text == HERMES[:-3]


def test_without_an_end_marker_a_call_cut_off_costs_no_other(sequence: Sequence) -> None:
    _, text, _ = next(each for each in FAMILIES if each[0] == "mistral")
    plain = whole(sequence, text[:-3], family="mistral", reason="length")
    assert called(plain) == [OSLO]
    assert plain.text == '[TOOL_CALLS]get_time[ARGS]{"zone": "CE'


def test_calls_and_text_after_which_max_tokens_ends_it_are_all_there(sequence: Sequence) -> None:
    plain = whole(sequence, HERMES, " And the", reason="length")
    assert (called(plain), plain.text, plain.finish.reason) == ([OSLO], "And the", "length")


def test_one_call_at_a_time_stops_after_the_first(sequence: Sequence) -> None:
    plain = whole(sequence, HERMES, HERMES_TIME, " and more", only_one=True)
    assert (called(plain), plain.text, plain.finish.reason) == ([OSLO], "", "tool_calls")
    assert plain.finish.usage.completion_tokens == 1
    _, section, _ = next(each for each in FAMILIES if each[0] == "minimax_m2")
    assert called(whole(sequence, section, family="minimax_m2", only_one=True)) == [OSLO]


def test_stop_strings_act_on_text_and_not_inside_calls(sequence: Sequence) -> None:
    plain = whole(sequence, HERMES, "so Oslo", stop=("Oslo",))
    assert (called(plain), plain.text, plain.finish.reason) == ([OSLO], "so ", "tool_calls")
    before = whole(sequence, "in Oslo \n", HERMES, stop=("Oslo",))
    assert (called(before), before.text, before.finish.reason) == ([], "in ", "stop")


def test_what_is_thought_about_calling_is_no_call(sequence: Sequence) -> None:
    plain = whole(sequence, f"<think>{HERMES}?</think>\n\n", HERMES)
    assert (plain.reasoning, plain.text, called(plain)) == (f"{HERMES}?", "", [OSLO])


def test_a_marker_begun_and_not_finished_is_text(sequence: Sequence) -> None:
    assert whole(sequence, "a <tool_", "x <tool").text == "a <tool_x <tool"
