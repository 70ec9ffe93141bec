"""Builds a grammar in llguidance's dialect of Lark."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping

# One line break with its indentation, or a space: small models may otherwise write white space for ever.
WHITE_SPACE = r"(\n[ \t]{0,16}|[ ]?)"
NUMBER = "{number}"
# Python strips some of these as white space, and llguidance does not know them as such.
CONTROLS = r"\x00-\x08\x0B\x0C\x0E-\x1F"


class Lark:
    """Collects rules and terminals. `added_tokens` maps texts that are single tokens to their ids."""

    def __init__(self, added_tokens: Mapping[str, int]):
        self._ids = added_tokens
        known = sorted(filter(None, added_tokens), key=len, reverse=True)
        self._borders = re.compile("|".join(map(re.escape, [*known, NUMBER])))
        self._lines: list[str] = []
        self._shared: dict[str, str] = {}

    def source(self, start: str) -> str:
        return "\n".join([f"start: {start}", *self._lines]) + "\n"

    def rule(self, choices: Iterable[str]) -> str:
        return self._named("rule", " | ".join(choices))

    def shared(self, key: str, body: Callable[[], str]) -> str:
        """The name of the one rule for `key`, built on first use; its own `body` may refer to it."""
        if key not in self._shared:
            self._shared[key] = f"shared_{len(self._shared)}"
            self._lines.append(f"{self._shared[key]}: {body()}")
        return self._shared[key]

    def terminal(self, expression: str) -> str:
        return self._named("TERMINAL", expression)

    def _named(self, kind: str, body: str) -> str:
        name = f"{kind}_{len(self._lines)}"
        self._lines.append(f"{name}: {body}")
        return name

    def pieces(self, literal: str) -> list[str]:
        """A literal as grammar symbols, its added tokens by their ids: spelling one out as text would not match it."""
        found: list[str] = []
        end = 0
        for border in self._borders.finditer(literal):
            found += _text(literal[end : border.start()])
            found.append("/[0-9]{1,2}/" if border[0] == NUMBER else f"<[{self._ids[border[0]]}]>")
            end = border.end()
        return [*found, *_text(literal[end:])]

    def say(self, literal: str) -> str:
        return " ".join(self.pieces(literal)) or '""'


def _text(literal: str) -> list[str]:
    return [json.dumps(literal)] if literal else []


def json_value(schema: object) -> str:
    """A grammar symbol for JSON that the schema accepts."""
    bounded = {**schema, "x-guidance": {"whitespace_pattern": WHITE_SPACE}} if isinstance(schema, Mapping) else schema
    return f"%json {json.dumps(bounded)}"


def pattern(expression: str) -> str:
    """A regular expression as a Lark terminal, with its slashes escaped, since a slash would end it."""
    bare = re.sub(
        r"\\.|/|\n", lambda found: {"/": r"\x2F", r"\/": r"\x2F", "\n": r"\n"}.get(found[0], found[0]), expression
    )
    return f"/{bare}/"


def without(words: Collection[str]) -> str:
    """A regular expression for text without these words or control characters. A word has one `<`, at its beginning.

    It is written out because llguidance (1.9) refuses a complement with a bound of length as too complex.
    """
    return pattern(f"[^<{CONTROLS}]*(?:<{_astray([word[1:] for word in words])})*")


def _astray(rests: Collection[str]) -> str:
    """A regular expression for text that leaves each of these words, or ends, before it is complete."""
    firsts = {rest[0]: [other[1:] for other in rests if other[0] == rest[0]] for rest in rests}
    ways = [re.escape(first) + _astray(more) for first, more in firsts.items() if "" not in more]
    other = "".join(map(re.escape, firsts))
    return f"(?:{'|'.join([*ways, f'[^<{other}{CONTROLS}][^<{CONTROLS}]*'])})?"
