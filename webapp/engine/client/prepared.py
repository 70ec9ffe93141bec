"""The interface of a model's tokenizer, and the prepared request that it makes for the engine."""

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
    """A request in the engine's form, with the splitter that turns the answer's tokens into events.

    The model ends its answer with any of `ends`. `spell` gives the bytes of a token, which may be a part of a letter.
    """

    prompt: Prompt
    constraint: AnswerConstraint | None
    splitter: Splitter
    ends: frozenset[int]
    spell: Callable[[int], bytes]


class Tokenizer(Protocol):
    """The tokenizer of one model. Thread-safe; runs on the request's thread."""

    eos_ids: frozenset[int]

    def prepare(self, request: GenerationRequest, terms: Terms) -> Prepared:
        """Prepare a request for the engine. Raises InvalidRequest, ContextLengthExceeded or UnsupportedParameter."""

    def render(self, request: GenerationRequest, terms: Terms) -> Prompt:
        """The prompt made of the request's messages, at any length. Raises the same errors as `prepare`."""

    def raw(
        self, prompt: str | Seq[int], context_length: int, *, place: Place = ("prompt", 0), special: bool = True
    ) -> Prompt:
        """A prompt without a template; `special` adds the tokens that the model expects at its start.

        Raises InvalidRequest(place), and ContextLengthExceeded when the text is too long to fit with any tokens.
        """

    def decode(self, tokens: Seq[int]) -> str: ...
