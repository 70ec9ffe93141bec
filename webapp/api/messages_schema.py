"""The wire schema of /v1/messages and /v1/messages/count_tokens: Anthropic's JSON becomes typed values here, once.

Thinking of earlier turns is dropped: templates of open models do not want it back. Knows no Flask and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from webapp.api.schema import MAX_MESSAGES, MAX_STOP_STRINGS, StopString, TokenLimit
from webapp.api.strict import UNSUPPORTED, Wire, shape_of
from webapp.errors import InvalidRequest
from webapp.generation import GenerationRequest, Grammar, Message

Name = Annotated[str, Field(min_length=1, max_length=256)]


class Block(Wire):
    """A piece of a message. What Anthropic's clients say about caching is true here without being asked for."""

    cache_control: dict[str, Any] | None = None


class TextBlock(Block):
    type: Literal["text"]
    text: str
    citations: list[Any] | None = None


class ThinkingBlock(Block):
    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(Block):
    type: Literal["redacted_thinking"]
    data: str | None = None


class ToolUseBlock(Block):
    type: Literal["tool_use"]
    id: Name
    name: Name
    input: dict[str, Any]

    def as_template_value(self) -> dict[str, object]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.input}}


def _tag_of(block: object) -> str | None:
    """In angle brackets, so that error paths can leave it out."""
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return f"<{kind}>" if isinstance(kind, str) else None


def _known(*kinds: str) -> BeforeValidator:
    def refuse_others(block: object) -> object:
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(kind, str) and kind not in kinds:
            raise PydanticCustomError(
                UNSUPPORTED, "Content blocks of type '{kind}' are not supported here.", {"kind": kind[:64]}
            )
        return block

    return BeforeValidator(refuse_others)


OnlyText = Annotated[TextBlock, _known("text")]
TextBlocks = Annotated[list[OnlyText], Field(fail_fast=True), Tag("<list>")]
SaidText = Annotated[Annotated[str, Tag("<text>")] | TextBlocks, Discriminator(shape_of)]


class ToolResultBlock(Block):
    type: Literal["tool_result"]
    tool_use_id: Name
    content: SaidText | None = None
    is_error: bool | None = None


AnyBlock = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ThinkingBlock, Tag("<thinking>")]
    | Annotated[RedactedThinkingBlock, Tag("<redacted_thinking>")]
    | Annotated[ToolUseBlock, Tag("<tool_use>")]
    | Annotated[ToolResultBlock, Tag("<tool_result>")],
    Discriminator(_tag_of),
    _known("text", "thinking", "redacted_thinking", "tool_use", "tool_result"),
]
Blocks = Annotated[list[AnyBlock], Field(fail_fast=True), Tag("<list>")]
Said = Annotated[Annotated[str, Tag("<text>")] | Blocks, Discriminator(shape_of)]


class Turn(Wire):
    role: Literal["user", "assistant", "system"]
    content: Said

    def to_messages(self, path: str) -> Iterator[Message]:
        """One message, but each result of a tool is one of its own, where it stands among the text."""
        if isinstance(self.content, str):
            yield Message(self.role, self.content)
            return
        text: list[str] = []
        calls: list[dict[str, object]] = []
        results = 0
        for index, block in enumerate(self.content):
            match block:
                case TextBlock():
                    text.append(block.text)
                case ToolUseBlock():
                    self._must_be("assistant", f"{path}.content[{index}]")
                    calls.append(block.as_template_value())
                case ToolResultBlock():
                    self._must_be("user", f"{path}.content[{index}]")
                    if text:
                        yield Message(self.role, "".join(text))
                        text = []
                    results += 1
                    yield Message("tool", joined(block.content, ""), tool_call_id=block.tool_use_id)
        if text or not results:
            yield Message(self.role, "".join(text), tool_calls=tuple(calls))

    def _must_be(self, role: str, path: str) -> None:
        if self.role != role:
            raise InvalidRequest(
                f"Only messages of the role '{role}' hold such blocks.", f"{path}.type", "invalid_value"
            )


class Thinking(Wire):
    """`budget_tokens` is a wish that no open model knows of."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: TokenLimit | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Wire):
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Wire):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class CountBody(Wire):
    """Whatever the prompt is made of."""

    model: Annotated[str, Field(min_length=1, max_length=512)]
    messages: Annotated[list[Turn], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    system: SaidText | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    def to_request(self, request_id: str) -> GenerationRequest:
        return GenerationRequest(
            id=request_id, model=self.model, messages=self._messages, template_options=self._template_options
        )

    @property
    def _messages(self) -> tuple[Message, ...]:
        system = [] if self.system is None else [Message("system", joined(self.system, "\n\n"))]
        turns = (turn.to_messages(f"messages[{index}]") for index, turn in enumerate(self.messages))
        return (*system, *(message for turn in turns for message in turn))

    @property
    def _template_options(self) -> dict[str, object]:
        """Unasked, the model or its profile decides."""
        return {} if self.thinking is None else {"enable_thinking": self.thinking.type != "disabled"}


class MessagesBody(CountBody):
    max_tokens: TokenLimit
    stream: bool | None = None
    stop_sequences: Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS, fail_fast=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None

    @property
    def grammar(self) -> Grammar | None:
        if self.output_config is None or self.output_config.format is None:
            return None
        schema = self.output_config.format.schema_
        return Grammar("JSON schema", json.dumps(schema), "output_config.format.schema")

    @property
    def shows_thinking(self) -> bool:
        return self.thinking is None or self.thinking.display != "omitted"

    def to_request(self, request_id: str) -> GenerationRequest:
        chosen = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k")}
        return GenerationRequest(
            id=request_id,
            model=self.model,
            messages=self._messages,
            sampling={name: value for name, value in chosen.items() if value is not None},
            max_tokens=self.max_tokens,
            stop=tuple(self.stop_sequences or ()),
            template_options=self._template_options,
            grammar=self.grammar,
        )


def joined(said: str | list[TextBlock] | None, between: str) -> str:
    if said is None or isinstance(said, str):
        return said or ""
    return between.join(block.text for block in said)
