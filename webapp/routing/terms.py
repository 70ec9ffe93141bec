"""Merges defaults into complete terms: the request wins over its profile, then the model, then the server."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.generation import GenerationRequest, InstalledModel, Message, SamplingParams, Terms
from webapp.routing.profiles import Profile
from webapp.settings.table import Settings

# OpenAI's own default for a prompt without a chat.
COMPLETION_TOKENS = 16
SERVER_SAMPLING = ("temperature", "top_p")


@dataclass(frozen=True, slots=True)
class Target:
    """The answerer of a name: an installed model, with the defaults of a profile if the name is a profile's."""

    model: InstalledModel
    profile: Profile | None = None

    @property
    def name(self) -> str:
        return self.profile.name if self.profile else self.model.id

    @property
    def context_length(self) -> int:
        """The smaller of the profile's and the model's: a smaller model may have replaced the one of before."""
        return min(self.model.context_length, self.ways.context_length or self.model.context_length)

    @property
    def ways(self) -> Profile:
        """The profile; for a model by its own name, an empty one."""
        return self.profile or Profile(self.model.id, self.model.id)


def terms(request: GenerationRequest, target: Target, settings: Settings) -> Terms:
    """The complete terms of a request; its own template options stay in the request for the tokenizer to read."""
    return Terms(
        messages=_messages(request, target.ways.system_prompt),
        template_wishes=target.ways.template_options,
        sampling=_sampling(request, target, settings),
        max_tokens=_max_tokens(request, target, settings),
        context_length=target.context_length,
    )


def _messages(request: GenerationRequest, system_prompt: str | None) -> tuple[Message, ...]:
    """The messages, behind the profile's system prompt if they bring no instructions; a bare prompt gets none."""
    instructed = any(message.role in ("system", "developer") for message in request.messages)
    if system_prompt is None or instructed or request.prompt is not None:
        return request.messages
    return (Message.of("system", system_prompt), *request.messages)


def _sampling(request: GenerationRequest, target: Target, settings: Settings) -> SamplingParams:
    server = {name: getattr(settings, name) for name in SERVER_SAMPLING}
    chosen = {name: value for name, value in server.items() if value is not None}
    return SamplingParams(**{**chosen, **target.model.sampling, **target.ways.sampling, **request.sampling})


def _max_tokens(request: GenerationRequest, target: Target, settings: Settings) -> int:
    server = settings.max_tokens if request.prompt is None else COMPLETION_TOKENS
    return request.max_tokens or target.ways.max_tokens or server
