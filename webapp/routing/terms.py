"""What holds where a request says nothing: request over profile over model over server, merged here only."""

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
    """Who answers a name: an installed model, in the ways of a profile if the name is one."""

    model: InstalledModel
    profile: Profile | None = None

    @property
    def name(self) -> str:
        return self.profile.name if self.profile else self.model.id

    @property
    def context_length(self) -> int:
        """The smaller of both: a model may have been replaced by a smaller one since the profile was made."""
        return min(self.model.context_length, self.ways.context_length or self.model.context_length)

    @property
    def ways(self) -> Profile:
        """The profile; a model by its own name has one that sets nothing."""
        return self.profile or Profile(self.model.id, self.model.id)


def terms(request: GenerationRequest, target: Target, settings: Settings) -> Terms:
    """Complete terms; only what the request tells the model's template is left to whoever reads that template."""
    return Terms(
        messages=_messages(request, target.ways.system_prompt),
        template_wishes=target.ways.template_options,
        sampling=_sampling(request, target, settings),
        max_tokens=_max_tokens(request, target, settings),
        context_length=target.context_length,
    )


def _messages(request: GenerationRequest, system_prompt: str | None) -> tuple[Message, ...]:
    """A chat that brings instructions of its own is not given others; a bare prompt never is."""
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
