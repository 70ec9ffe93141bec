"""The interface between the router and a provider: this process's engine, or a service elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Protocol

from webapp.generation import Canceller, EmbeddingRequest, GenerationRequest, Terms
from webapp.stream import Stream

# True if the caller may end requests of this owner.
MayCancel = Callable[[str | None], bool]


class Provider(Protocol):
    """Answers requests. Thread-safe. `model` is the provider's own name of a model, not the name in the request.

    Each method with a `model` raises ModelNotFound when it is gone, and another HearthError when it cannot comply.
    """

    def models(self) -> Seq[str]: ...

    def generate(self, model: str, request: GenerationRequest, terms: Terms) -> Stream:
        """Begin an answer; iterating the stream gives its events."""

    def embed(self, model: str, request: EmbeddingRequest, context_length: int) -> Stream:
        """Begin to make vectors of texts; the stream gives an Embedding for each, in order."""

    def count_tokens(self, model: str, request: GenerationRequest, terms: Terms) -> int:
        """The number of tokens in the request's prompt."""

    def render(self, model: str, request: GenerationRequest, terms: Terms) -> Seq[int]:
        """The tokens of the prompt made of the request's messages, at any length."""

    def tokenize(self, model: str, text: str, special: bool) -> Seq[int]:
        """Text as tokens; `special` adds the tokens that the model expects at the start of a prompt."""

    def detokenize(self, model: str, tokens: Seq[int]) -> str:
        """The text of tokens. Raises InvalidRequest for an id that the model does not have."""

    def cancel(self, request_id: str, by: Canceller, may_cancel: MayCancel) -> bool:
        """End a request, waiting or running, with all its parts, or one part by the part's own id.

        False when no request has that id, or when `may_cancel` is false for its owner.
        """
