"""The types that pass between the code that generates and the code that serves clients and pages.

A request goes down as a frozen `GenerationRequest`; events come up: `Prefill`, `Text`, `Reasoning`, `ToolCall`,
then exactly one `Finish`. Nothing in here knows JSON, HTML or MLX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
# A client that left, a call of the cancel route, a button on a page.
Canceller = Literal["client", "api", "page"]
ChoiceMode = Literal["auto", "none", "required"]
Role = Literal["system", "developer", "user", "assistant", "tool"]
Level = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
# Names that the engine or transformers' apply_chat_template sets itself in a chat template.
# fmt: off
RESERVED_OPTIONS = frozenset({
    "self", "messages", "conversation", "tools", "documents", "chat_template",
    "add_generation_prompt", "continue_final_message", "tokenize", "sanitize_control_tokens", "padding", "truncation",
    "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text in a message."""

    text: str


Part = TextPart


@dataclass(frozen=True, slots=True)
class Call:
    """A call in the history of a conversation. `arguments` is JSON text, unless the model wrote it wrongly."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. A message of the role "tool" answers the call with the id `call_id`."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    call_id: str | None = None
    calls: tuple[Call, ...] = ()

    @classmethod
    def of(cls, role: Role, text: str, *, call_id: str | None = None, calls: tuple[Call, ...] = ()) -> Message:
        """A message of one text; an empty text makes no part."""
        return cls(role, (TextPart(text),) if text else (), call_id=call_id, calls=calls)

    @property
    def text(self) -> str:
        """The texts of all parts, with nothing between them."""
        return "".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is the JSON schema of its arguments, an object's."""

    name: str
    description: str | None = None
    parameters: Mapping[str, object] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call; with a `name` it must call just this function."""

    mode: ChoiceMode = "auto"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one token is chosen. Temperature 0 is greedy; top_k 0, top_p 1 and min_p 0 filter nothing.

    Penalties count the whole output; repetition_penalty counts the prompt too, as in transformers. `logit_bias`: token
    ids and numbers added to their logits. With xtc_probability all tokens above xtc_threshold but the least likely of
    them are left out.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1


@dataclass(frozen=True, slots=True)
class Grammar:
    """The form that an answer must have: the text of a JSON schema, a regular expression or a Lark grammar."""

    kind: Literal["JSON schema", "regex", "grammar"]
    text: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A client's request for an answer, checked and typed.

    Either `messages` (rendered with the model's chat template) or `prompt` (text, or token ids) is set.
    `prompt_index` counts the prompts of one client's request. `sampling` holds only the fields of `SamplingParams` that
    the client set itself. `effort` is how much the model is to think before it answers. A template option that the
    template does not know is refused where the request `insists_on_options`; otherwise it is a wish.
    `whole`: the id of the request that this is a part of, when it is one of several answers. `owner`: the name of the
    API key that the request came with, or None for a person at this machine.

    Errors name a `Place`: ("model",), ("messages",), ("prompt", prompt_index), or a token of that as ("prompt",
    prompt_index, token_index), ("tools",) or a part of one as ("tools", index, "parameters", …), ("tool_choice",),
    ("grammar",), ("effort",), ("options", name) and ("logit_bias", token).
    """

    id: str
    model: str
    messages: tuple[Message, ...] = ()
    prompt: str | tuple[int, ...] | None = None
    prompt_index: int = 0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    template_options: Mapping[str, object] = field(default_factory=dict)
    insists_on_options: bool = False
    effort: Level | None = None
    grammar: Grammar | None = None
    top_logprobs: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    whole: str | None = None
    owner: str | None = None

    @property
    def request_id(self) -> str:
        """The id that the client knows: that of the whole, or its own."""
        return self.id if self.whole is None else self.whole

    @property
    def offered_tools(self) -> tuple[Tool, ...]:
        """The tools that the model sees. With the choice "none" it sees none, and nothing it writes is a call."""
        return () if self.tool_choice.mode == "none" else self.tools

    @property
    def insists_on_calls(self) -> bool:
        """Whether the model must call, or must call strictly if it does."""
        return self.tool_choice.mode == "required" or any(tool.strict for tool in self.offered_tools)


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that a request leaves open, decided: the complete terms on which any provider answers.

    `messages` are the request's, behind a profile's system prompt if they bring none. `template_wishes` are a profile's
    options for a chat template: the request's own win over them, name by name, and a template that does not know one
    goes without. `max_tokens` limits the answer, `context_length` prompt and answer together.
    """

    messages: tuple[Message, ...]
    template_wishes: Mapping[str, object]
    sampling: SamplingParams
    max_tokens: int
    context_length: int


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request for vectors of texts or token ids. `owner` as in `GenerationRequest`. Errors name ("texts", index)."""

    id: str
    model: str
    texts: tuple[str | tuple[int, ...], ...]
    owner: str | None = None


class Edition(NamedTuple):
    """A model with the version of its files. Another edition has other weights, another tokenizer, or both."""

    id: str
    path: Path
    version: str


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model folder on disk. `sampling` is what its generation_config.json recommends.

    `can_think`: its chat template can be asked for thoughts. `version` differs whenever one of the files does; the
    later `read_at` tells which of two versions is the newer.
    """

    id: str
    path: Path
    context_length: int
    weights_bytes: int
    created: int
    sampling: Mapping[str, float] = field(default_factory=dict)
    bundled: bool = False
    architecture: str = ""
    can_think: bool = False
    version: str = ""
    read_at: float = field(default=0.0, compare=False)

    @property
    def edition(self) -> Edition:
        return Edition(self.id, self.path, self.version)


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from submit: until admitted to the batch, to the first token, to the end."""

    queue_seconds: float
    ttft_seconds: float | None
    duration_seconds: float

    def tokens_per_second(self, completion_tokens: int) -> float | None:
        """Decode speed, first token excluded; None when there is nothing to measure."""
        if self.ttft_seconds is None or completion_tokens < 2:
            return None
        decode_seconds = self.duration_seconds - self.ttft_seconds
        return (completion_tokens - 1) / decode_seconds if decode_seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Prefill:
    """The prompt is in prefill: `done_tokens` of `total_tokens` are computed, including cached ones."""

    done_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the answer, its likelihood as natural logarithm, and the likeliest at its place, best first."""

    token: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer; `tokens` are its tokens, if the request has `top_logprobs`."""

    text: str
    tokens: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Reasoning:
    text: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """One text of an EmbeddingRequest as a vector of length 1."""

    index: int
    vector: list[float]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A piece of a call. The first of an `index` has its `id` and `name`; the `arguments` of all, joined, are JSON.

    A stream has all pieces of a call before the next one's; folded, a call is one piece.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """Always the last event. A failure is raised from the stream instead.

    `cancelled_by`: see `Canceller`. `stop_string`: the stop string that ended the text.
    `unparsed_calls`: how many calls could not be parsed; what the model wrote is in the text.
    """

    reason: FinishReason
    usage: Usage
    timing: Timing
    cancelled_by: Canceller | None = None
    stop_string: str | None = None
    unparsed_calls: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """An event of one of several answers to a request, also its Finish. The stream's own Finish then sums up."""

    index: int
    event: Text | Reasoning | ToolCall | Finish


Event = Prefill | Text | Reasoning | ToolCall | Embedding | Choice | Finish


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, collected from the events of a stream."""

    text: str
    reasoning: str
    finish: Finish
    tool_calls: tuple[ToolCall, ...] = ()
    tokens: tuple[TokenLogprob, ...] = ()
