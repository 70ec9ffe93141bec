"""Makes grammars for tool calls in a model family's own format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llguidance import LLMatcher

from webapp.engine.mlx.grammar.calls.families import FAMILIES, Family
from webapp.engine.mlx.grammar.calls.lark import Lark
from webapp.engine.mlx.grammar.calls.schemas import Schema, Unwritable, limits, properties, required
from webapp.errors import Place, UnsupportedParameter
from webapp.generation import Tool


@dataclass(frozen=True, slots=True)
class Writing:
    """How one model writes calls: its family, its markers, and the texts that are single tokens."""

    family: str
    start: str
    end: str
    added_tokens: Mapping[str, int]


def calls(writing: Writing, tools: Sequence[Tool], only: str | None, several: bool) -> str:
    """The grammar of an answer that is one call, or `several`, of the `only` tool or of any.

    Raises UnsupportedParameter for a family that has no grammar here, or a strict schema that cannot be enforced.
    """
    place = ("tools",) if only is None else ("tool_choice",)
    family, lark = _family(writing, place), Lark(writing.added_tokens)
    after = _after(lark, writing, family, tools, only, several)
    call = lark.rule([f"{lark.say(writing.start)} {after}"])
    again = f"({lark.say(family.between)} {call})*" if several and family.section is None else ""
    return lark.source(f"{call} {again}")


def one_call(writing: Writing, tools: Sequence[Tool]) -> str:
    """The grammar of what follows the start marker of a call or section of calls, up to and with its end marker."""
    family, lark = _family(writing, ("tools",)), Lark(writing.added_tokens)
    return lark.source(_after(lark, writing, family, tools, None, several=True))


def _family(writing: Writing, place: Place) -> Family:
    if writing.family not in FAMILIES:
        raise UnsupportedParameter("This model writes calls in a way that cannot be enforced yet.", place=place)
    return FAMILIES[writing.family]


def _after(lark: Lark, writing: Writing, family: Family, tools: Sequence[Tool], only: str | None, several: bool) -> str:
    chosen = [(index, tool) for index, tool in enumerate(tools) if only in (None, tool.name)]
    call = lark.rule([choice for index, tool in chosen for choice in _bodies(lark, family, tool, index)])
    if family.section is None:
        return f"{call} {lark.say(writing.end)}"
    opening, closing = family.section
    again = f"({lark.say(family.joined)} {call})*" if several else ""
    return f"{lark.say(opening)} {call} {again} {lark.say(closing + writing.end)}"


def _bodies(lark: Lark, family: Family, tool: Tool, index: int) -> list[str]:
    """A call of this tool. If its schema cannot be enforced and it is not strict, only its arguments' names are."""
    schema = limits(tool.parameters)
    try:
        try:
            _check(schema)
            return _written(lark, family, tool.name, schema)
        except Unwritable:
            if tool.strict:
                raise
            return _written(lark, family, tool.name, _lenient(schema))
    except Unwritable as problem:
        place: Place = ("tools", index, "parameters", *problem.path)
        message = f"Calls of '{tool.name}' cannot be enforced: {problem.reason}."
        raise UnsupportedParameter(message, place=place) from None


def _check(schema: Schema) -> None:
    problem = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(json.dumps(dict(schema))))
    if problem:
        raise Unwritable(problem.splitlines()[0])


def _lenient(schema: Schema) -> Schema:
    return {"type": "object", "properties": dict.fromkeys(properties(schema), True), "required": required(schema)}


def _written(lark: Lark, family: Family, name: str, schema: Schema) -> list[str]:
    if not family.fits(name):
        raise Unwritable("its name is none that this model can write")
    inside = family.values.arguments(lark, schema, at_least_one=bool(family.bare))
    bodies = [f"{lark.say(family.opened(name))} {inside} {lark.say(family.closing)}"] if inside else []
    if family.bare and not required(schema):
        bodies.append(lark.say(family.bare.replace("{name}", name)))
    return bodies
