"""Which model answers a name, and the way of a request down to the engine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import TYPE_CHECKING

from webapp.catalog.installed import Catalog
from webapp.engine.backend import Backend
from webapp.engine.client.output import Answer, Splitter
from webapp.engine.client.tool_calls import CallReader
from webapp.engine.engine import Engine
from webapp.engine.sequence import Prompt, Sequence
from webapp.errors import ContextLengthExceeded, HearthError, InvalidRequest, ModelNotFound, Place
from webapp.generation import Canceller, EmbeddingRequest, GenerationRequest, SamplingParams
from webapp.people.access import Visitor
from webapp.providers.embeddings import EmbeddingWork
from webapp.providers.side_by_side import side_by_side
from webapp.routing.profiles import Profiles
from webapp.routing.terms import Target, Terms, terms
from webapp.settings.table import Settings
from webapp.stream import Stream

if TYPE_CHECKING:
    from webapp.engine.mlx.prompts.tokenizer import Tokenizer


class Router:
    """Thread-safe: rendering and tokenizing happen on the caller's thread."""

    def __init__(
        self,
        catalog: Catalog,
        profiles: Profiles,
        backend: Backend,
        engine: Engine,
        settings: Callable[[], Settings],
    ):
        self._catalog = catalog
        self._profiles = profiles
        self._backend = backend
        self._engine = engine
        self._settings = settings

    def resolve(self, name: str) -> Target:
        """Who answers a name, a profile before a model. Raises ModelNotFound, which names all that would."""
        profile = self._profiles.find(name)
        try:
            return Target(self._catalog.find(profile.model if profile else name), profile)
        except ModelNotFound as error:
            installed = tuple(model.id for model in self._catalog.models())
            raise ModelNotFound(
                error.model, installed, tuple(self._profiles.current), name if profile else None
            ) from None

    def targets(self) -> tuple[Target, ...]:
        """Everyone who can answer: the profiles whose model is installed, then the models by their own names."""
        models = {model.id: model for model in self._catalog.models()}
        profiles = self._profiles.current
        return (
            *(Target(models[profile.model], profile) for profile in profiles.values() if profile.model in models),
            *(Target(model) for model in models.values() if model.id not in profiles),
        )

    def generate(self, request: GenerationRequest) -> Stream:
        """Submit a request; iterating the stream gives its events.

        Raises ModelNotFound, InvalidRequest, ContextLengthExceeded, ModelLoadFailed, QueueFull or EngineStopped.
        """
        submitted = time.monotonic()
        target = self.resolve(request.model)
        tokenizer = self._backend.tokenizer(target.model)
        agreed = self._agreed(request, target, tokenizer)
        prompt = prompt_of(request, agreed, tokenizer)
        tokenizer.check_bias(agreed.sampling.logit_bias)
        sequence = Sequence(
            id=request.id,
            request_id=request.request_id,
            owner=request.owner,
            model=target.model,
            prompt=prompt,
            sampling=agreed.sampling,
            max_tokens=min(agreed.max_tokens, agreed.context_length - len(prompt.tokens)),
            length_is_ours=request.max_tokens is None,
            constraint=tokenizer.constraint(request, prompt, agreed.template_options),
            top_logprobs=request.top_logprobs,
            eos_ids=tokenizer.eos_ids,
            submitted=submitted,
        )
        form = tokenizer.call_format(request.offered_tools) if request.offered_tools else None
        calls = CallReader(form, request.id, only_one=not request.parallel_tool_calls) if form else None
        machine = tokenizer.text_machine(request.stop, thinks=request.prompt is None, calls=form)
        splitter = Splitter(tokenizer.detokenizer(prompt), machine, prompt.in_reasoning, request.stop, calls)
        answer = Answer(
            sequence, splitter, lambda: self._engine.cancel(request.id), clock=time.monotonic, spell=tokenizer.spell
        )
        self._engine.submit(sequence)
        return Stream(answer.events(), lambda: self._engine.cancel(request.id), answered_by=target.model.id)

    def generate_all(self, requests: Seq[GenerationRequest]) -> Stream:
        """Submit several requests that are parts of one whole; see `Choice`. All or none."""
        streams: list[Stream] = []
        try:
            for request in requests:
                streams.append(self.generate(request))
        except HearthError:
            for stream in streams:
                stream.close()
            raise
        return side_by_side(streams, prompts=len({request.prompt_index for request in requests}))

    def embed(self, request: EmbeddingRequest) -> Stream:
        """Submit texts to be made vectors; the stream gives an Embedding for each, in order. Raises as `generate`."""
        submitted = time.monotonic()
        target = self.resolve(request.model)
        tokenizer = self._backend.tokenizer(target.model)
        sequences = [
            Sequence(
                id=f"{request.id}-{index}",
                request_id=request.id,
                owner=request.owner,
                model=target.model,
                prompt=_text_prompt(text, tokenizer, target.context_length, ("texts", index)),
                sampling=SamplingParams(),
                max_tokens=0,
                eos_ids=tokenizer.eos_ids,
                submitted=submitted,
                embeds=True,
            )
            for index, text in enumerate(request.texts)
        ]
        work = EmbeddingWork(sequences, self._engine.submit, self._engine.cancel)
        return Stream(work.events(), work.cancel, answered_by=target.model.id)

    def render(self, request: GenerationRequest) -> Prompt:
        """The prompt that the request's messages would become, however long it is."""
        target = self.resolve(request.model)
        tokenizer = self._backend.tokenizer(target.model)
        agreed = self._agreed(request, target, tokenizer)
        return tokenizer.render(agreed.messages, agreed.template_options, sys.maxsize, request.offered_tools)

    def tokenize(self, name: str, text: str, special: bool) -> tuple[int, ...]:
        """Text as tokens of a model; `special`: with what the model wants at the start of a prompt."""
        return self._tokenizer(name).raw(text, sys.maxsize, place=("text",), special=special).tokens

    def detokenize(self, name: str, tokens: Seq[int]) -> str:
        """The text of tokens. Raises InvalidRequest for what is no token of the model."""
        tokenizer = self._tokenizer(name)
        return tokenizer.decode(tokenizer.raw(tokens, sys.maxsize, place=("tokens",)).tokens)

    def cancel(self, request_id: str, by: Canceller, visitor: Visitor) -> bool:
        """End a request wherever it is, all its parts included, or one part by the part's own id.

        False when there is none of that id, or none that this visitor may end.
        """
        return self._engine.cancel_request(request_id, by, visitor.may_cancel)

    def _agreed(self, request: GenerationRequest, target: Target, tokenizer: Tokenizer) -> Terms:
        """The request's options in the words of the model's template, then what holds where it says nothing."""
        asked = replace(request, template_options=tokenizer.options.chosen(request))
        return terms(asked, target, self._settings())

    def _tokenizer(self, name: str) -> Tokenizer:
        return self._backend.tokenizer(self.resolve(name).model)


def _text_prompt(text: str | tuple[int, ...], tokenizer: Tokenizer, context_length: int, place: Place) -> Prompt:
    """A whole text fits: its last token is read, and none is written."""
    prompt = tokenizer.raw(text, context_length + 1, place=place)
    if not prompt.tokens:
        raise InvalidRequest("The text is empty.", place=place)
    if len(prompt.tokens) > context_length:
        raise ContextLengthExceeded(len(prompt.tokens), context_length, place)
    return prompt


def prompt_of(request: GenerationRequest, agreed: Terms, tokenizer: Tokenizer) -> Prompt:
    """The prompt as tokens: a raw one, or messages. Raises InvalidRequest and ContextLengthExceeded."""
    context_length = agreed.context_length
    if request.prompt is None:
        place: Place = ("messages",)
        prompt = tokenizer.render(agreed.messages, agreed.template_options, context_length, request.offered_tools)
    else:
        place = ("prompt", request.prompt_index)
        prompt = tokenizer.raw(request.prompt, context_length, place=place)
    if not prompt.tokens:
        raise InvalidRequest("The prompt is empty.", place=place)
    if len(prompt.tokens) >= context_length:
        raise ContextLengthExceeded(len(prompt.tokens), context_length, place)
    return prompt
