"""Finds the target and terms for a request's name and hands both to the provider, which does the rest."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq

from webapp.catalog.installed import Catalog
from webapp.errors import HearthError, ModelNotFound
from webapp.generation import Canceller, EmbeddingRequest, GenerationRequest, Terms
from webapp.people.access import Visitor
from webapp.providers.provider import Provider
from webapp.providers.side_by_side import side_by_side
from webapp.routing.profiles import Profiles
from webapp.routing.terms import Target, terms
from webapp.settings.table import Settings
from webapp.stream import Stream


class Router:
    """Routes requests. Thread-safe. A `name` is a model's or a profile's; an unknown one raises ModelNotFound."""

    def __init__(
        self,
        catalog: Catalog,
        profiles: Profiles,
        provider: Provider,
        settings: Callable[[], Settings],
    ):
        self._catalog = catalog
        self._profiles = profiles
        self._provider = provider
        self._settings = settings

    def resolve(self, name: str) -> Target:
        """The target of a name; a profile wins over a model. Raises ModelNotFound, which lists all names that work."""
        profile = self._profiles.find(name)
        try:
            return Target(self._catalog.find(profile.model if profile else name), profile)
        except ModelNotFound as error:
            raise ModelNotFound(
                error.model,
                tuple(self._provider.models()),
                tuple(self._profiles.current),
                name if profile else None,
            ) from None

    def targets(self) -> tuple[Target, ...]:
        """All targets: the profiles whose model is installed, then the models by their own names."""
        models = {model.id: model for model in self._catalog.models()}
        profiles = self._profiles.current
        return (
            *(Target(models[profile.model], profile) for profile in profiles.values() if profile.model in models),
            *(Target(model) for model in models.values() if model.id not in profiles),
        )

    def generate(self, request: GenerationRequest) -> Stream:
        """Begin an answer; iterating the stream gives its events. Raises what the provider raises."""
        return self._provider.generate(*self._routed(request))

    def generate_all(self, requests: Seq[GenerationRequest]) -> Stream:
        """Begin several answers that are parts of one request, all or none; see `Choice`."""
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
        """Begin to make vectors of texts; the stream gives an Embedding for each, in order."""
        target = self.resolve(request.model)
        return self._provider.embed(target.model.id, request, target.context_length)

    def count_tokens(self, request: GenerationRequest) -> int:
        """The number of tokens in the prompt made of the request's messages."""
        return self._provider.count_tokens(*self._routed(request))

    def render(self, request: GenerationRequest) -> Seq[int]:
        """The tokens of the prompt made of the request's messages, at any length."""
        return self._provider.render(*self._routed(request))

    def tokenize(self, name: str, text: str, special: bool) -> Seq[int]:
        """Text as tokens of a model; `special` adds the tokens that the model expects at the start of a prompt."""
        return self._provider.tokenize(self.resolve(name).model.id, text, special)

    def detokenize(self, name: str, tokens: Seq[int]) -> str:
        """The text of tokens. Raises InvalidRequest for an id that the model does not have."""
        return self._provider.detokenize(self.resolve(name).model.id, tokens)

    def cancel(self, request_id: str, by: Canceller, visitor: Visitor) -> bool:
        """End a request, waiting or running, with all its parts, or one part by the part's own id.

        False when no request has that id, or when this visitor may not end it.
        """
        return self._provider.cancel(request_id, by, visitor.may_cancel)

    def _routed(self, request: GenerationRequest) -> tuple[str, GenerationRequest, Terms]:
        """The id of the provider's model that answers, the request, and its terms."""
        target = self.resolve(request.model)
        return target.model.id, request, terms(request, target, self._settings())
