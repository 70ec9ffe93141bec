"""Prompts for the bench: dialogues of one kind, no two of them alike."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["short", "long", "shared", "multi", "mixed"]
# A message as it goes over the wire: its role and its content.
BenchMessage = dict[str, str]

LONG_WORDS = 600
SHARED_WORDS = 600
TURNS = 3
WORDS = (
    "river",
    "stone",
    "lamp",
    "garden",
    "letter",
    "window",
    "morning",
    "paper",
    "bridge",
    "silver",
    "winter",
    "story",
)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a client adds before each answer, and what its requests say beside the messages."""

    turns: Sequence[Sequence[BenchMessage]]
    fields: Mapping[str, Any] = field(default_factory=dict)


class Prompts:
    """Dialogues of one kind, no two of them alike: a salted first word keeps the prefix cache out of it."""

    def __init__(self, kind: Kind, salt: int, max_tokens: int):
        self._kind = kind
        self._random = random.Random(salt)
        self._shared = self._words(SHARED_WORDS)
        self._mixture = itertools.cycle((dict[str, Any], self._seeded, self._form, self._calling))
        # More numbers than fit: no answer ends early, and all sides have the same work.
        self._numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 4 * max_tokens}

    def dialogue(self) -> Dialogue:
        match self._kind:
            case "short":
                return Dialogue([[self._user(12)]])
            case "long":
                return Dialogue([[self._user(LONG_WORDS)]])
            case "shared":
                return Dialogue([[{"role": "system", "content": self._shared}, self._user(12)]])
            case "multi":
                return Dialogue([[self._user(40)] for _ in range(TURNS)])
            case "mixed":
                return Dialogue([[self._user(12)]], next(self._mixture)())

    def _seeded(self) -> dict[str, Any]:
        return {"seed": self._random.getrandbits(32), "temperature": 1, "top_k": 20}

    def _form(self) -> dict[str, Any]:
        form = {"name": "numbers", "schema": self._numbers}
        return {"response_format": {"type": "json_schema", "json_schema": form}}

    def _calling(self) -> dict[str, Any]:
        """Tools come first in most prompts, so each has a name of its own."""
        parameters = {"type": "object", "properties": {"numbers": self._numbers}, "required": ["numbers"]}
        function = {"name": f"{self._random.getrandbits(32):08x}_add", "parameters": parameters}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}

    def _user(self, words: int) -> BenchMessage:
        return {"role": "user", "content": f"{self._random.getrandbits(32):08x} {self._words(words)}"}

    def _words(self, count: int) -> str:
        return " ".join(self._random.choices(WORDS, k=count))
