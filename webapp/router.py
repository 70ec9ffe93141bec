"""Which model answers a name, and the way of a request down to the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from webapp.catalog.catalog import Catalog
from webapp.engine.backend import Backend
from webapp.engine.engine import Engine
from webapp.engine.output import Answer, Splitter
from webapp.engine.sequence import Prompt, Sequence
from webapp.errors import ContextLengthExceeded, InvalidRequest
from webapp.generation import Canceller, GenerationRequest, InstalledModel, SamplingParams
from webapp.settings import Settings
from webapp.stream import Stream

if TYPE_CHECKING:
    from webapp.engine.mlx.tokenizer import Tokenizer

SERVER_SAMPLING = ("temperature", "top_p")


class Router:
    """Thread-safe: rendering and tokenizing happen on the caller's thread."""

    def __init__(self, catalog: Catalog, backend: Backend, engine: Engine, settings: Callable[[], Settings]):
        self._catalog = catalog
        self._backend = backend
        self._engine = engine
        self._settings = settings

    def generate(self, request: GenerationRequest) -> Stream:
        """Submit a request; iterating the stream gives its events.

        Raises ModelNotFound, InvalidRequest, ContextLengthExceeded, ModelLoadFailed, QueueFull or EngineStopped.
        """
        submitted = time.monotonic()
        model = self._catalog.find(request.model)
        tokenizer = self._backend.tokenizer(model)
        prompt = prompt_of(request, tokenizer, model.context_length)
        settings = self._settings()
        sequence = Sequence(
            id=request.id,
            model=model,
            prompt=prompt,
            sampling=sampling(request, model, settings),
            max_tokens=min(request.max_tokens or settings.max_tokens, model.context_length - len(prompt.tokens)),
            length_is_ours=request.max_tokens is None,
            eos_ids=tokenizer.eos_ids,
            submitted=submitted,
        )
        machine = tokenizer.text_machine(request.stop, thinks=request.prompt is None)
        splitter = Splitter(tokenizer.detokenizer(), machine, prompt.in_reasoning)
        answer = Answer(sequence, splitter, stop=lambda: self._engine.cancel(request.id), clock=time.monotonic)
        self._engine.submit(sequence)
        return Stream(answer.events(), cancel=lambda: self.cancel(request.id, "client"))

    def cancel(self, request_id: str, by: Canceller) -> bool:
        """End a request wherever it is; False when there is none of that id."""
        return self._engine.cancel(request_id, by)


def prompt_of(request: GenerationRequest, tokenizer: Tokenizer, context_length: int) -> Prompt:
    """The request's prompt as tokens. Raises InvalidRequest and ContextLengthExceeded."""
    if request.prompt is None:
        param, prompt = "messages", tokenizer.render(request.messages, request.template_options, context_length)
    else:
        param, prompt = "prompt", tokenizer.raw(request.prompt, context_length)
    if not prompt.tokens:
        raise InvalidRequest("The prompt is empty.", param)
    if len(prompt.tokens) >= context_length:
        raise ContextLengthExceeded(len(prompt.tokens), context_length, param)
    return prompt


def sampling(request: GenerationRequest, model: InstalledModel, settings: Settings) -> SamplingParams:
    """The request's choice over the model's recommendation over the server's default."""
    server = {name: getattr(settings, name) for name in SERVER_SAMPLING}
    chosen = {name: value for name, value in server.items() if value is not None}
    return SamplingParams(**{**chosen, **model.sampling, **request.sampling})
