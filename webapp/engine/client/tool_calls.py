"""Tool calls in a model's text: what a parser makes of what stands between the markers. Knows no MLX."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from webapp.generation import ToolCall

LONGEST_ID = 256
# What parsers made for one model family raise over the words of another, or over a schema they do not expect.
PARSER_FAULTS = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError, RecursionError, MemoryError,
    TimeoutError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How a model writes calls. `end` is empty where only the next call or the end of the answer ends one.

    `parse` gives a call or a list of them as mlx-lm does, and raises any of PARSER_FAULTS.
    """

    start: str
    end: str
    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A call as the model wrote it; only some formats have ids."""

    name: str
    arguments: str
    id: str | None

    @classmethod
    def of(cls, call: object) -> Parsed:
        """Raises ValueError or TypeError when it is no call, or its arguments are no JSON object."""
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str) or not call["name"]:
            raise ValueError("a call needs a name")
        arguments = call.get("arguments", {})
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        if not isinstance(arguments, dict):
            raise ValueError("arguments are an object")
        written = json.dumps(_finite(arguments), ensure_ascii=False, allow_nan=False)
        (call["name"] + written).encode()  # half of a surrogate pair is no text
        given = call.get("id")
        fits = isinstance(given, str) and given.isascii() and 0 < len(given) <= LONGEST_ID
        return cls(call["name"], written, given if fits else None)


def _finite(value: object) -> object:
    """JSON may write numbers that no float holds; read, they are infinite, which is no JSON."""
    match value:
        case float() if math.isinf(value):
            return math.copysign(sys.float_info.max, value)
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list():
            return [_finite(each) for each in value]
    return value


class CallReader:
    """Reads the calls of one answer. `count` have come, `unparsed` were begun and were none."""

    def __init__(self, form: CallFormat, request_id: str, only_one: bool):
        self.form = form
        self.count = 0
        self.unparsed = 0
        self._request_id = request_id
        self._only_one = only_one
        self._ids: set[str] = set()

    @property
    def has_enough(self) -> bool:
        return self._only_one and self.count > 0

    def read(self, written: str, whole: bool) -> list[ToolCall]:
        """The pieces of the calls that stood between two markers; empty when these were none, or cut off."""
        calls = self._parsed(written) if whole else []
        if not calls:
            self.unparsed += 1
        return [piece for call in calls[: 1 if self._only_one else None] for piece in self._pieces(call)]

    def _parsed(self, written: str) -> list[Parsed]:
        """All or nothing: half of what a model meant to do is not what it meant."""
        if not written.strip():
            return []
        try:
            found = self.form.parse(written)
            return [Parsed.of(call) for call in (found if isinstance(found, list) else [found])]
        except PARSER_FAULTS:
            return []

    def _pieces(self, call: Parsed) -> Iterator[ToolCall]:
        index, self.count = self.count, self.count + 1
        call_id = call.id if call.id is not None and call.id not in self._ids else self._made_id(index)
        self._ids.add(call_id)
        yield ToolCall(index, call_id, call.name)
        yield ToolCall(index, arguments=call.arguments)

    def _made_id(self, index: int) -> str:
        return f"call_{hashlib.sha256(f'{self._request_id}:{index}'.encode()).hexdigest()[:24]}"
