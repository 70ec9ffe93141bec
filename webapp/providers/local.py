"""The models of this machine: the engine's client. Prompts are rendered and tokenized on the caller's thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence as Seq
from typing import Protocol

from webapp.engine.backend import Backend
from webapp.engine.client.output import Answer
from webapp.engine.client.prepared import Tokenizer
from webapp.engine.engine import Engine
from webapp.engine.sequence import Prompt, Sequence
from webapp.errors import ContextLengthExceeded, InvalidRequest, Place
from webapp.generation import Canceller, EmbeddingRequest, GenerationRequest, InstalledModel, SamplingParams, Terms
from webapp.providers.embeddings import EmbeddingWork
from webapp.providers.provider import MayCancel
from webapp.stream import Stream


class Installed(Protocol):
    """The models on this machine's disks, by their ids."""

    def models(self) -> Seq[InstalledModel]: ...

    def find(self, model_id: str) -> InstalledModel:
        """Raises ModelNotFound."""


class Local:
    """The Provider of this process's engine. Thread-safe."""

    def __init__(self, installed: Installed, backend: Backend, engine: Engine):
        self._installed = installed
        self._backend = backend
        self._engine = engine

    def models(self) -> tuple[str, ...]:
        return tuple(model.id for model in self._installed.models())

    def generate(self, model: str, request: GenerationRequest, terms: Terms) -> Stream:
        """Submit a request; iterating the stream gives its events.

        Raises ModelNotFound, InvalidRequest, ContextLengthExceeded, ModelLoadFailed, QueueFull or EngineStopped.
        """
        submitted = time.monotonic()
        found = self._installed.find(model)
        prepared = self._backend.tokenizer(found).prepare(request, terms)
        sequence = Sequence(
            id=request.id,
            request_id=request.request_id,
            owner=request.owner,
            model=found,
            prompt=prepared.prompt,
            sampling=terms.sampling,
            max_tokens=min(terms.max_tokens, terms.context_length - len(prepared.prompt.tokens)),
            length_is_ours=request.max_tokens is None,
            constraint=prepared.constraint,
            top_logprobs=request.top_logprobs,
            eos_ids=prepared.ends,
            submitted=submitted,
        )
        answer = Answer(
            sequence,
            prepared.splitter,
            lambda: self._engine.cancel(request.id),
            clock=time.monotonic,
            spell=prepared.spell,
        )
        self._engine.submit(sequence)
        return Stream(answer.events(), lambda: self._engine.cancel(request.id), answered_by=found.id)

    def embed(self, model: str, request: EmbeddingRequest, context_length: int) -> Stream:
        """Submit texts to be made vectors; the stream gives an Embedding for each, in order. Raises as `generate`."""
        submitted = time.monotonic()
        found = self._installed.find(model)
        tokenizer = self._backend.tokenizer(found)
        sequences = [
            Sequence(
                id=f"{request.id}-{index}",
                request_id=request.id,
                owner=request.owner,
                model=found,
                prompt=_text_prompt(text, tokenizer, context_length, ("texts", index)),
                sampling=SamplingParams(),
                max_tokens=0,
                eos_ids=tokenizer.eos_ids,
                submitted=submitted,
                embeds=True,
            )
            for index, text in enumerate(request.texts)
        ]
        work = EmbeddingWork(sequences, self._engine.submit, self._engine.cancel)
        return Stream(work.events(), work.cancel, answered_by=found.id)

    def count_tokens(self, model: str, request: GenerationRequest, terms: Terms) -> int:
        """The number of tokens in the request's prompt; counted, not estimated."""
        return len(self.render(model, request, terms))

    def render(self, model: str, request: GenerationRequest, terms: Terms) -> tuple[int, ...]:
        """The tokens of the prompt made of the request's messages, at any length."""
        return self._tokenizer(model).render(request, terms).tokens

    def tokenize(self, model: str, text: str, special: bool) -> tuple[int, ...]:
        """Text as tokens; `special` adds the tokens that the model expects at the start of a prompt."""
        return self._tokenizer(model).raw(text, sys.maxsize, place=("text",), special=special).tokens

    def detokenize(self, model: str, tokens: Seq[int]) -> str:
        """The text of tokens. Raises InvalidRequest for an id that the model does not have."""
        tokenizer = self._tokenizer(model)
        return tokenizer.decode(tokenizer.raw(tokens, sys.maxsize, place=("tokens",)).tokens)

    def cancel(self, request_id: str, by: Canceller, may_cancel: MayCancel) -> bool:
        """End a request with all its parts, or the one part with that id; see Provider."""
        return self._engine.cancel_request(request_id, by, may_cancel)

    def _tokenizer(self, model: str) -> Tokenizer:
        return self._backend.tokenizer(self._installed.find(model))


def _text_prompt(text: str | tuple[int, ...], tokenizer: Tokenizer, context_length: int, place: Place) -> Prompt:
    """The prompt of a text to embed. It may fill the whole context, since no answer follows."""
    prompt = tokenizer.raw(text, context_length + 1, place=place)
    if not prompt.tokens:
        raise InvalidRequest("The text is empty.", place=place)
    if len(prompt.tokens) > context_length:
        raise ContextLengthExceeded(len(prompt.tokens), context_length, place)
    return prompt
