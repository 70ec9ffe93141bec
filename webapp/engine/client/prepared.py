"""What the machine room hands out to requests: a model's tokenizer, and what it makes of a request."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol

from webapp.engine.client.output import Splitter
from webapp.engine.sequence import AnswerConstraint, Prompt
from webapp.errors import Place
from webapp.generation import GenerationRequest, Terms


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as the engine takes it, and what makes events of the tokens that come back.

    The model ends its answer with any of `ends`. `spell` gives the bytes of a token, which may be a part of a letter.
    """

    prompt: Prompt
    constraint: AnswerConstraint | None
    splitter: Splitter
    ends: frozenset[int]
    spell: Callable[[int], bytes]


class Tokenizer(Protocol):
    """One model's. Thread-safe; runs on the request's thread."""

    eos_ids: frozenset[int]

    def prepare(self, request: GenerationRequest, terms: Terms) -> Prepared:
        """All that generating takes. Raises InvalidRequest, ContextLengthExceeded or UnsupportedParameter."""

    def render(self, request: GenerationRequest, terms: Terms) -> Prompt:
        """The prompt that the request's messages become, however long it is. Raises as `prepare`."""

    def raw(
        self, prompt: str | Seq[int], context_length: int, *, place: Place = ("prompt", 0), special: bool = True
    ) -> Prompt:
        """A prompt without a template; `special`: with what the model wants at its start.

        Raises InvalidRequest(place), and ContextLengthExceeded when the text cannot fit whatever its tokens are.
        """

    def decode(self, tokens: Seq[int]) -> str: ...
