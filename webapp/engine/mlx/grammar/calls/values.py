"""How arguments are written: as JSON, or one by one in a family's own way."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from webapp.engine.mlx.grammar.calls.lark import Lark, json_value, pattern, without
from webapp.engine.mlx.grammar.calls.schemas import (
    DEFINITIONS,
    Schema,
    Unwritable,
    alternatives,
    check_words,
    is_text,
    properties,
    required,
    said,
    type_of,
)

SCALARS = frozenset({"integer", "number", "boolean", "null"})
OBJECT_WORDS = {"type", "properties", "required", "additionalProperties"}
ARRAY_WORDS = {"type", "items", "minItems", "maxItems"}
TEXT_WORDS = {"type", "enum", "minLength", "maxLength", "pattern"}
NULL = "/(?i:null)/"
NO_BORDERS = r"/(\S((?s:.*)\S)?)?/"
# Two digits at most in the exponent: three could exceed what a float holds.
NUMBER = r"/-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,16})?([eE][-+]?[0-9]{1,2})?/"


class Values(Protocol):
    def arguments(self, lark: Lark, schema: Schema, at_least_one: bool) -> str | None:
        """A grammar symbol for all arguments of a call; None if it must have one and the schema has none."""


@dataclass(frozen=True, slots=True)
class Json:
    """Writes all arguments as one JSON object."""

    def arguments(self, lark: Lark, schema: Schema, at_least_one: bool) -> str | None:
        return json_value(schema)


@dataclass(frozen=True, slots=True)
class StringForm:
    """How a string is written: between `quote`s, or bare. Texts in `banned` would end it early and may not occur.

    `strips`: white space at its borders is lost. `escape`: how to write what bare text cannot.
    """

    banned: tuple[str, ...]
    quote: str = ""
    strips: bool = False
    allowed: tuple[str, ...] = ()
    escape: tuple[str, str] | None = None
    or_json: bool = False

    def rule(self, lark: Lark, schema: Schema, end: str, null: bool) -> str:
        """A rule for strings of the schema, followed by `end`. `null`: the bare word null would be read as no value."""
        choices = [self._written(lark, schema, "", end, [*self._bare(), *([f"~{NULL}"] if null else [])])]
        if self.escape:
            before, after = self.escape
            choices.append(self._written(lark, schema, before, after + end, [f"~{NULL}"]))
        if self.or_json:
            choices.append(f"{json_value(schema)} {lark.say(end)}")
        return lark.rule(choices)

    def _bare(self) -> list[str]:
        return [*self.allowed, *([NO_BORDERS] if self.strips else [])]

    def _written(self, lark: Lark, schema: Schema, before: str, after: str, limits: Sequence[str]) -> str:
        closing = lark.pieces(self.quote + after)
        opening = " ".join(lark.pieces(before + self.quote))
        body = " & ".join([without(self.banned), *self._strings(schema), *limits])
        if closing[0].startswith('"'):
            value = lark.terminal(f"{lark.terminal(body)} {closing.pop(0)}")
        else:
            value = lark.terminal(f"{body} & /(?s:.+)/") + ("?" if _may_be_empty(schema) else "")
        return " ".join([opening, value, *closing])

    def _strings(self, schema: Schema) -> list[str]:
        check_words(schema, TEXT_WORDS)
        limits = []
        if isinstance(values := schema.get("enum"), list):
            limits.append(f"({' | '.join(map(json.dumps, values))})")
        if isinstance(expression := schema.get("pattern"), str):
            limits.append(pattern(_whole(expression)))
        if "minLength" in schema or "maxLength" in schema:
            limits.append(f"/(?s:.{{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}})/")
        return limits


def _may_be_empty(schema: Schema) -> bool:
    values = schema.get("enum", [""])
    return not schema.get("minLength") and "pattern" not in schema and isinstance(values, list) and "" in values


def _whole(expression: str) -> str:
    """The pattern as one that matches a whole string: a schema searches for it anywhere, a grammar cannot."""
    head = "" if expression.startswith("^") else "(?s:.*)"
    ends = re.search(r"(?<!\\)(\\\\)*\$$", expression)
    bare = expression.removeprefix("^")
    return f"{head}(?:{bare[:-1] if ends else bare}){'' if ends else '(?s:.*)'}"


@dataclass(frozen=True, slots=True)
class Tagged:
    """Writes each argument by itself: `key` before it, `end` behind it, `between` two of them.

    `text`: how strings outside of JSON are written; without it they are written as JSON.
    `inner`: how arrays and objects are written: as JSON, in the family's own way, or not at all.
    `reads_null`: the bare word null is read as no value, whatever the type.
    """

    key: str
    end: str
    text: StringForm | None = None
    between: str = ""
    inner: Literal["json", "own", "none"] = "json"
    reads_null: bool = False
    names: str = r"[\w.$-]+"

    def arguments(self, lark: Lark, schema: Schema, at_least_one: bool) -> str | None:
        return self._members(lark, schema, schema, at_least_one)

    def _members(self, lark: Lark, schema: Schema, root: Schema, at_least_one: bool) -> str | None:
        """A symbol for the arguments in the schema's order, each optional one present or left out."""
        check_words(schema, OBJECT_WORDS)
        needed = required(schema)
        first, later = None if at_least_one else '""', '""'
        for name, each in reversed(list(properties(schema).items())):
            optional = name not in needed
            try:
                one = lark.rule([self._member(lark, name, each, root)])
            except Unwritable as problem:
                raise problem.below("properties", name) from None
            led = lark.rule([f"{one} {later}", *([first] if optional and first else [])])
            later = lark.rule([f"{lark.say(self.between)} {one} {later}", *([later] if optional else [])])
            first = led
        return first

    def _member(self, lark: Lark, name: str, schema: object, root: Schema) -> str:
        if not re.fullmatch(self.names, name):
            raise Unwritable(f"'{name}' is no name that this model can write")
        found = alternatives(schema, root)
        kind = (type_of(found[0]) if len(found) == 1 else None) or "object"
        key = self.key.replace("{key}", name).replace("{type}", "string" if is_text(schema, root) else kind)
        return f"{lark.say(key)} {self._value(lark, schema, root, self.end)}"

    def _value(self, lark: Lark, schema: object, root: Schema, end: str) -> str:
        found = alternatives(schema, root)
        if not found:
            raise Unwritable("nothing is valid here")
        if self.text is None or (not is_text(schema, root) and self.inner == "json"):
            return f"{_json_within(schema, root)} {lark.say(end)}"
        return lark.rule(self._choices(self.text, lark, found, root, end))

    def _choices(self, text: StringForm, lark: Lark, found: Sequence[Schema], root: Schema, end: str) -> list[str]:
        choices = []
        for each in found:
            match type_of(each):
                case "string" | None:
                    choices.append(text.rule(lark, each, end, self.reads_null and not text.quote))
                case "null" if not self.reads_null:
                    pass  # text alone is written so: none would be read as a word
                case scalar if scalar in SCALARS:
                    choices.append(f"{_json_within(each, root)} {lark.say(end)}")
                case "object" if self.inner == "own":
                    choices.append(
                        f"{lark.shared(json.dumps(each), partial(self._object, lark, each, root))} {lark.say(end)}"
                    )
                case "array" if self.inner == "own":
                    choices.append(f"{self._items(lark, each, root)} {lark.say(end)}")
                case kind:
                    raise Unwritable(f"this model's calls have no way to write an argument of type {kind}")
        return choices

    def _object(self, lark: Lark, schema: Schema, root: Schema) -> str:
        return f'"{{" {self._members(lark, schema, root, at_least_one=False)} "}}"'

    def _items(self, lark: Lark, schema: Schema, root: Schema) -> str:
        check_words(schema, ARRAY_WORDS)
        fewest, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return '"[]"'
        one = lark.rule([self._value(lark, schema.get("items", True), root, "")])
        bounds = f"{{{max(0, int(str(fewest)) - 1)},{'' if most is None else int(str(most)) - 1}}}"
        several = lark.rule([f'{one} ("," {one}){bounds}', *([] if fewest else ['""'])])
        return f'"[" {several} "]"'


def _json_within(schema: object, root: Schema) -> str:
    """A symbol for JSON of one part of a schema, with the definitions of the whole that it may refer to."""
    if not isinstance(schema, dict):
        return json_value(schema)
    if said(schema) == {"type"} and schema["type"] == "number":
        return NUMBER
    return json_value({**{word: root[word] for word in DEFINITIONS if word in root}, **schema})
