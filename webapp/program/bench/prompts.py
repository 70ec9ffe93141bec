"""The prompts of the bench: dialogues of one kind, no two of them alike."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["short", "long", "shared", "multi", "mixed"]
# A message as the client sends it: `role` and `content`.
DialogueMessage = dict[str, str]

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
    """The messages that a client adds before each answer, and the other fields of its requests."""

    turns: Sequence[Sequence[DialogueMessage]]
    fields: Mapping[str, Any] = field(default_factory=dict)


class Prompts:
    """Makes dialogues of one kind. A salted first word makes each message new to the prefix cache."""

    def __init__(self, kind: Kind, salt: int, max_tokens: int):
        self._kind = kind
        self._random = random.Random(salt)
        self._shared = self._words(SHARED_WORDS)
        self._mixture = itertools.cycle((dict[str, Any], self._seeded, self._form, self._calling))
        # More numbers than `max_tokens` has room for, so that no answer ends early.
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
        """A forced tool call. The tool has a salted name, as most templates put tools first in the prompt."""
        parameters = {"type": "object", "properties": {"numbers": self._numbers}, "required": ["numbers"]}
        function = {"name": f"{self._random.getrandbits(32):08x}_add", "parameters": parameters}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}

    def _user(self, words: int) -> DialogueMessage:
        return {"role": "user", "content": f"{self._random.getrandbits(32):08x} {self._words(words)}"}

    def _words(self, count: int) -> str:
        return " ".join(self._random.choices(WORDS, k=count))
