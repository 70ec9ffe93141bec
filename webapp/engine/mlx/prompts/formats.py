"""How a model's family writes thoughts and calls: the markers around them and the parsers for their text."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import Any

from mlx_lm.generate import TextStateMachine
from mlx_lm.tokenizer_utils import TokenizerWrapper

from webapp.engine.client.output import NORMAL, REASONING, TOOL, Segments
from webapp.engine.client.tool_calls import CallFormat
from webapp.engine.mlx.grammar.calls.schemas import as_read
from webapp.engine.mlx.prompts.deadline import within
from webapp.generation import Tool

PARSE_SECONDS = 2.0

# From each section: the markers that end it, and the section behind each; None is the end of the answer.
Transitions = Mapping[str, Seq[tuple[str, str | None]]]


class MlxTextMachine:
    """mlx-lm's TextStateMachine over the text of one answer. Its state is (section, node, sections, pending text)."""

    def __init__(self, transitions: Transitions, section: str):
        self._machine = TextStateMachine(transitions)
        self._state: tuple[str | None, Any, Any, str] = self._machine.make_state(section)

    @property
    def section(self) -> str | None:
        return self._state[0]

    @property
    def pending(self) -> str:
        return self._state[3]

    def split(self, text: str) -> Segments:
        self._state, segments = self._machine.split(self._state, text)
        return segments

    def flush(self) -> str:
        self._state, rest, _ = self._machine.flush(self._state)
        return str(rest)


class Formats:
    """The formats of one model. Thread-safe."""

    def __init__(self, wrapper: TokenizerWrapper):
        self._wrapper = wrapper

    @property
    def has_calls(self) -> bool:
        """Whether mlx-lm has a parser for the calls of this model."""
        return bool(self._wrapper.has_tool_calling)

    def calls(self, tools: Seq[Tool]) -> CallFormat:
        """How this model writes calls of these tools; only for one that `has_calls`.

        Some of mlx-lm's regular expressions (0.32) take minutes over words that a model repeats for ever.
        """
        wrapper = self._wrapper
        offered = [as_offer(replace(tool, parameters=as_read(tool.parameters))) for tool in tools]

        def parse(written: str) -> object:
            return within(PARSE_SECONDS, lambda: wrapper.tool_parser(written, offered))

        return CallFormat(wrapper.tool_call_start, wrapper.tool_call_end, parse)

    def text_machine(
        self, stop: Seq[str], thinks: bool, calls: CallFormat | None = None, in_reasoning: bool = False
    ) -> MlxTextMachine:
        """Ends (section None) at a stop string, which is stripped; in a chat also tells reasoning and calls apart.

        A call inside a thought is not a call. A format without an end marker ends a call where the next begins.
        """
        transitions: dict[str, list[tuple[str, str | None]]] = {NORMAL: [(text, None) for text in stop]}
        if thinks and self._wrapper.has_thinking:
            transitions[NORMAL].append((self._wrapper.think_start, REASONING))
            transitions[REASONING] = [(self._wrapper.think_end, NORMAL)]
        if calls:
            transitions[NORMAL].append((calls.start, TOOL))
            transitions[TOOL] = [(calls.end, NORMAL) if calls.end else (calls.start, TOOL)]
        return MlxTextMachine(transitions, REASONING if in_reasoning else NORMAL)

    def leaves_thought_open(self, text: str, begun: str) -> bool:
        """Whether a prompt ends inside a thought. If `begun` is set, only a thought that it opens itself counts."""
        start, end = self._wrapper.think_start, self._wrapper.think_end
        if start is None:
            return False
        return begun.rfind(start) > begun.rfind(end) if begun else text.rstrip().endswith(start)


def as_offer(tool: Tool) -> dict[str, Any]:
    """A tool in the form that templates and parsers read."""
    described = {} if tool.description is None else {"description": tool.description}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": dict(tool.parameters)}}
