"""The wire schema of /v1/chat/completions and /v1/completions: JSON becomes typed values here, once.

Field types, limits and dotted error paths come from these models. Knows no Flask and no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from webapp.api.openai.format_schema import ResponseFormat, TextFormat
from webapp.api.openai.template_schema import TemplateBody
from webapp.api.openai.tools_schema import ChoiceBody, ToolBodies, to_tools
from webapp.api.strict import (
    MAX_MESSAGES,
    MAX_STOP_STRINGS,
    ModelName,
    StopString,
    StrictBody,
    TokenLimit,
    dotted,
    missing,
    shape_of,
    unsupported,
)
from webapp.errors import InvalidRequest, Place
from webapp.generation import Call, GenerationRequest, Grammar, Message, Part, Role, SamplingParams, TextPart

MAX_PROMPTS = 128
MAX_BIASED_TOKENS = 1024
MAX_CHOICES = 16
_UNSUPPORTED_PARTS = frozenset({"image_url", "input_audio", "file", "video_url", "audio_url", "refusal"})
_SAMPLING_FIELDS = tuple(item.name for item in fields(SamplingParams))


def _only_text(kind: object) -> object:
    if isinstance(kind, str) and kind in _UNSUPPORTED_PARTS:
        raise unsupported("Content parts of type '{kind}' are not supported.", kind=kind)
    return kind


def shape_of_texts(value: object) -> str:
    """Return the tag of a prompt's shape: one text, one text as token ids, or a list of either."""
    if not isinstance(value, list):
        return "<text>"
    first = value[0] if value else 0
    return "<texts>" if isinstance(first, str) else "<rows>" if isinstance(first, list) else "<list>"


class TextPartBody(StrictBody):
    type: Annotated[Literal["text"], BeforeValidator(_only_text)]
    text: str


# The tags stand in angle brackets so that error paths can leave them out.
Parts = Annotated[list[TextPartBody], Field(fail_fast=True), Tag("<list>")]
Content = Annotated[Annotated[str, Tag("<text>")] | Parts, Discriminator(shape_of)]
StopStrings = Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS, fail_fast=True), Tag("<list>")]
Stop = Annotated[Annotated[StopString, Tag("<text>")] | StopStrings, Discriminator(shape_of)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True), Tag("<list>")]
PromptText = Annotated[str, Field(min_length=1), Tag("<text>")]
Prompts = Annotated[
    list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_PROMPTS, fail_fast=True), Tag("<texts>")
]
TokenRows = Annotated[list[TokenIds], Field(max_length=MAX_PROMPTS, fail_fast=True), Tag("<rows>")]
Prompt = Annotated[PromptText | TokenIds | Prompts | TokenRows, Discriminator(shape_of_texts)]
BiasedToken = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,9})$")]
Bias = Annotated[float, Field(ge=-100, le=100)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class CalledFunction(StrictBody):
    name: str
    arguments: str


class CallBody(StrictBody):
    id: str
    type: Literal["function"]
    function: CalledFunction

    def to_call(self) -> Call:
        return Call(self.id, self.function.name, self.function.arguments)


class ChatMessage(StrictBody):
    role: Role
    content: Content | None = None
    name: Annotated[str, Field(max_length=256)] | None = None
    tool_call_id: Annotated[str, Field(max_length=256)] | None = None
    tool_calls: Annotated[list[CallBody], Field(max_length=128, fail_fast=True)] | None = None

    def to_message(self, path: str) -> Message:
        if self.content is None and not self.tool_calls:
            raise missing(f"{path}.content")
        if self.tool_calls and self.role != "assistant":
            raise InvalidRequest("Only assistant messages carry tool calls.", f"{path}.tool_calls", "invalid_value")
        if self.role == "tool" and self.tool_call_id is None:
            raise missing(f"{path}.tool_call_id")
        calls = tuple(call.to_call() for call in self.tool_calls or ())
        return Message(self.role, self._parts, self.name, self.tool_call_id, calls)

    @property
    def _parts(self) -> tuple[Part, ...]:
        if isinstance(self.content, list):
            return tuple(TextPart(part.text) for part in self.content)
        return (TextPart(self.content),) if self.content else ()


class StreamOptions(StrictBody):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class GenerationBody(StrictBody):
    """The fields that both routes share. For every field, `None` means unset."""

    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: Stop | None = None
    max_tokens: TokenLimit | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.001, le=2)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    logit_bias: Annotated[dict[BiasedToken, Bias], Field(max_length=MAX_BIASED_TOKENS)] | None = None
    xtc_probability: Annotated[float, Field(ge=0, le=1)] | None = None
    xtc_threshold: Annotated[float, Field(ge=0, le=0.5)] | None = None
    response_format: ResponseFormat | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling parameters that the client set. top_k -1 means off on other servers, and becomes 0."""
        given = {name: getattr(self, name) for name in _SAMPLING_FIELDS}
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.top_k == -1:
            chosen["top_k"] = 0
        if self.logit_bias is not None:
            chosen["logit_bias"] = tuple((int(token), bias) for token, bias in self.logit_bias.items())
        return chosen

    def to_requests(self, request_id: str) -> tuple[GenerationRequest, ...]:
        """Return one request for each answer to each prompt; several are parts of the whole request `request_id`."""
        return self._times_n((self.to_request(request_id),))

    def _times_n(self, requests: tuple[GenerationRequest, ...]) -> tuple[GenerationRequest, ...]:
        """Return `n` of each request; a seed from the client is changed for each, so that their texts differ."""
        if self.n in (None, 1):
            return requests
        return tuple(
            replace(
                request,
                id=f"{request.id}-{index}",
                whole=request.request_id,
                sampling=_seeded(request.sampling, index),
            )
            for request in requests
            for index in range(self.n)
        )

    def to_request(self, request_id: str) -> GenerationRequest:
        raise NotImplementedError

    @property
    def grammar(self) -> Grammar | None:
        chosen = self.response_format
        return None if chosen is None or isinstance(chosen, TextFormat) else chosen.grammar()

    def path_of(self, place: Place) -> str:
        match place:
            case ("grammar",) if self.response_format and not isinstance(self.response_format, TextFormat):
                return dotted(("response_format", *self.response_format.inside))
            case ("logit_bias", token):
                return f"logit_bias.{token}"
            case _:
                return super().path_of(place)


def _seeded(sampling: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    return {**sampling, "seed": sampling["seed"] + index} if "seed" in sampling else sampling


class ChatBody(GenerationBody, TemplateBody):
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    max_completion_tokens: TokenLimit | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: ToolBodies | None = None
    tool_choice: ChoiceBody | None = None
    parallel_tool_calls: bool | None = None

    def to_request(self, request_id: str) -> GenerationRequest:
        tools, choice = to_tools(self.tools, self.tool_choice, self.path_of)
        return GenerationRequest(
            id=request_id,
            model=self.model,
            messages=tuple(message.to_message(f"messages[{index}]") for index, message in enumerate(self.messages)),
            sampling=self.sampling,
            max_tokens=self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens,
            stop=self.stop_strings,
            template_options=self.template_options,
            insists_on_options=True,
            effort=self.reasoning_effort,
            grammar=self.grammar,
            top_logprobs=self._top_logprobs(),
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls is not False,
        )

    def path_of(self, place: Place) -> str:
        match place:
            case ("tools", int(index), *inside):
                return dotted(("tools", index, "function", *inside))
            case ("tool_choice", str(name)):
                return f"tool_choice.function.{name}"
            case _:
                return super().path_of(place)

    def _top_logprobs(self) -> int | None:
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequest("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs", "invalid_value")
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionBody(GenerationBody):
    prompt: Prompt
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool | None = None

    def to_requests(self, request_id: str) -> tuple[GenerationRequest, ...]:
        request, prompts = self.to_request(request_id), self._prompts
        if len(prompts) == 1:
            return self._times_n((request,))
        named = (
            replace(request, id=f"{request_id}-{index}", whole=request_id, prompt=prompt, prompt_index=index)
            for index, prompt in enumerate(prompts)
        )
        return self._times_n(tuple(named))

    def path_of(self, place: Place) -> str:
        match place:
            case ("prompt", int(), *inside) if len(self._prompts) == 1:
                return dotted(("prompt", *inside))
            case _:
                return super().path_of(place)

    @property
    def _prompts(self) -> tuple[str | tuple[int, ...], ...]:
        if isinstance(self.prompt, str):
            return (self.prompt,)
        if isinstance(self.prompt[0], int):
            return (tuple(self.prompt),)
        return tuple(prompt if isinstance(prompt, str) else tuple(prompt) for prompt in self.prompt)

    def to_request(self, request_id: str) -> GenerationRequest:
        return GenerationRequest(
            id=request_id,
            model=self.model,
            prompt=self._prompts[0],
            sampling=self.sampling,
            max_tokens=self.max_tokens,
            stop=self.stop_strings,
            grammar=self.grammar,
            top_logprobs=self.logprobs,
        )
