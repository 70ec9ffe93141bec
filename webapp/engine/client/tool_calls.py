"""Tool calls in a model's text: parses the text between the markers into calls. Knows no MLX."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from webapp.generation import ToolCall

LONGEST_ID = 256
# The errors that mlx-lm's parsers raise for another family's text, or for a schema they do not expect.
PARSER_FAULTS = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError, RecursionError, MemoryError,
    TimeoutError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How a model writes calls. `end` is empty if a call has no end marker: the next call or the answer's end ends it.

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
        """A checked call. Raises ValueError or TypeError unless it has a name and a JSON object as arguments."""
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
    """The value with infinite numbers, which JSON cannot hold, replaced by the largest finite ones."""
    match value:
        case float() if math.isinf(value):
            return math.copysign(sys.float_info.max, value)
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list():
            return [_finite(each) for each in value]
    return value


class CallReader:
    """Reads the calls of one answer. `count` is the number of calls, `unparsed` that of texts without a valid one."""

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
        """The pieces of the calls between two markers; empty when the text is not a call, or is not `whole`."""
        calls = self._parsed(written) if whole else []
        if not calls:
            self.unparsed += 1
        return [piece for call in calls[: 1 if self._only_one else None] for piece in self._pieces(call)]

    def _parsed(self, written: str) -> list[Parsed]:
        """All the calls in the text, or none if one of them cannot be parsed: half a plan must not be carried out."""
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
