"""How tool calls must look, as a grammar over a model family's own way of writing them.

A family is known by the parser that mlx-lm chose for it; one more family is one more entry of FAMILIES.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from llguidance import LLMatcher

from webapp.errors import UnsupportedParameter
from webapp.generation import Tool

# One line break with its indentation, or a space: small models like to go on with white space for ever.
WHITE_SPACE = r"(\n[ \t]{0,16}|[ ]?)"

# From (name, schema) of each tool to the rules `call` may use, START and END being the markers' terminals.
Family = Callable[[Sequence[tuple[str, object]]], str]


def _json_tools(tools: Sequence[tuple[str, object]]) -> str:
    """<tool_call>{"name": …, "arguments": {…}}</tool_call>"""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": schema},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, schema in tools
    ]
    return f'call: START after\nafter: "\\n" body "\\n" END\nbody: {_json({"anyOf": calls})}\n'


def _mistral(tools: Sequence[tuple[str, object]]) -> str:
    """[TOOL_CALLS]name[ARGS]{…}"""
    rules = [f'body_{rank}: "{name}[ARGS]" {_json(schema)}' for rank, (name, schema) in enumerate(tools)]
    choice = " | ".join(f"body_{rank}" for rank in range(len(tools)))
    return f"call: START after\nafter: {choice}\n" + "\n".join(rules) + "\n"


FAMILIES: Mapping[str, Family] = MappingProxyType({"json_tools": _json_tools, "mistral": _mistral})


def _json(schema: object) -> str:
    bounded = {**schema, "x-guidance": {"whitespace_pattern": WHITE_SPACE}} if isinstance(schema, Mapping) else schema
    return f"%json {json.dumps(bounded)}"


def calls(family: str, tools: Sequence[Tool], only: str | None, several: bool, start: str, end: str) -> str:
    """An answer of one call, or of several; `start` and `end` are the markers as terminals."""
    again = r' ("\n" call)*' if several else ""
    return f"start: call{again}\n{_rules(family, tools, only)}".replace("START", start).replace("END", end)


def one_call(family: str, tools: Sequence[Tool], end: str) -> str:
    """What stands behind the start marker of a single call, its end marker included."""
    rules = _rules(family, tools, None).removeprefix("call: START after\n")
    return f"start: after\n{rules}".replace("END", end)


def _rules(family: str, tools: Sequence[Tool], only: str | None) -> str:
    """Raises UnsupportedParameter for a family that has no grammar here, or a strict schema that cannot be enforced."""
    if family not in FAMILIES:
        param = "tools" if only is None else "tool_choice"
        raise UnsupportedParameter("This model writes calls in a way that cannot be enforced yet.", param)
    chosen = [(index, tool) for index, tool in enumerate(tools) if only in (None, tool.name)]
    return FAMILIES[family]([(tool.name, _enforced(index, tool)) for index, tool in chosen])


def _enforced(index: int, tool: Tool) -> Mapping[str, object]:
    """A tool's schema; where it cannot be enforced and nobody insists, any object."""
    problem = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(json.dumps(dict(tool.parameters))))
    if not problem:
        return tool.parameters
    if tool.strict:
        reason = problem.splitlines()[0]
        raise UnsupportedParameter(
            f"The parameters of '{tool.name}' cannot be enforced: {reason}.", f"tools[{index}].function.parameters"
        )
    return {"type": "object"}
