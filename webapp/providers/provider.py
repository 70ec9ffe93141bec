"""What the router asks of whoever answers: this process's engine, or a service elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Protocol

from webapp.generation import Canceller, EmbeddingRequest, GenerationRequest, Terms
from webapp.stream import Stream

# Whether a request of this owner may be ended by whoever asks for it.
MayCancel = Callable[[str | None], bool]


class Provider(Protocol):
    """Thread-safe. `model` is the provider's own name of one of its models, whatever name the request asked for.

    Everything that takes a model raises ModelNotFound for one that is gone, and a HearthError for what cannot be done.
    """

    def models(self) -> Seq[str]: ...

    def generate(self, model: str, request: GenerationRequest, terms: Terms) -> Stream:
        """Begin an answer; iterating the stream gives its events."""

    def embed(self, model: str, request: EmbeddingRequest, context_length: int) -> Stream:
        """Begin to make vectors of texts; the stream gives an Embedding for each, in order."""

    def count_tokens(self, model: str, request: GenerationRequest, terms: Terms) -> int:
        """How many tokens the prompt of such a request comes to."""

    def render(self, model: str, request: GenerationRequest, terms: Terms) -> Seq[int]:
        """The tokens of the prompt that the request's messages would become, however long it is."""

    def tokenize(self, model: str, text: str, special: bool) -> Seq[int]:
        """Text as tokens; `special`: with what the model wants at the start of a prompt."""

    def detokenize(self, model: str, tokens: Seq[int]) -> str:
        """The text of tokens. Raises InvalidRequest for what is no token of the model."""

    def cancel(self, request_id: str, by: Canceller, may_cancel: MayCancel) -> bool:
        """End a request wherever it is, all its parts included, or one part by the part's own id.

        False when there is none of that id, or none whose owner allows it.
        """
