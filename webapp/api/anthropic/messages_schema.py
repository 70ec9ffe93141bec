"""The wire schema of /v1/messages and /v1/messages/count_tokens: Anthropic's JSON becomes typed values here, once.

It drops the thinking of earlier turns: the chat templates of open models do not use it. Knows no Flask and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from webapp.api.openai.tools_schema import MAX_TOOLS, FunctionName, Parameters, check
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
from webapp.generation import Call, ChoiceMode, GenerationRequest, Grammar, Message, Tool, ToolChoice

# Claude Code puts billing data in such a block. It differs per conversation, so prompts with it would share no prefix.
BILLING = "x-anthropic-billing-header:"
CHOICES: dict[str, ChoiceMode] = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}

Name = Annotated[str, Field(min_length=1, max_length=256)]


class Block(StrictBody):
    """A piece of a message. `cache_control` has no effect: the prefix cache works without it."""

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

    def to_call(self) -> Call:
        return Call(self.id, self.name, json.dumps(self.input, ensure_ascii=False))


def _tag_of_block(block: object) -> str | None:
    """Return the block's type in angle brackets, so that error paths can leave it out."""
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return f"<{kind}>" if isinstance(kind, str) else None


def _only_blocks(*kinds: str) -> BeforeValidator:
    def refuse_others(block: object) -> object:
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(kind, str) and kind not in kinds:
            raise unsupported("Content blocks of type '{kind}' are not supported here.", kind=kind[:64])
        return block

    return BeforeValidator(refuse_others)


OnlyText = Annotated[TextBlock, _only_blocks("text")]
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
    Discriminator(_tag_of_block),
    _only_blocks("text", "thinking", "redacted_thinking", "tool_use", "tool_result"),
]
Blocks = Annotated[list[AnyBlock], Field(fail_fast=True), Tag("<list>")]
MessageContent = Annotated[Annotated[str, Tag("<text>")] | Blocks, Discriminator(shape_of)]


class AnthropicTurn(StrictBody):
    role: Literal["user", "assistant", "system"]
    content: MessageContent

    def to_messages(self, path: str) -> Iterator[Message]:
        """Yield one message for the turn, and a separate message for each tool result, in the order of the blocks."""
        if isinstance(self.content, str):
            yield Message.of(self.role, self.content)
            return
        text: list[str] = []
        calls: list[Call] = []
        results = 0
        for index, block in enumerate(self.content):
            match block:
                case TextBlock():
                    text.append(block.text)
                case ToolUseBlock():
                    self._must_be("assistant", f"{path}.content[{index}]")
                    calls.append(block.to_call())
                case ToolResultBlock():
                    self._must_be("user", f"{path}.content[{index}]")
                    if text:
                        yield Message.of(self.role, "".join(text))
                        text = []
                    results += 1
                    yield Message.of("tool", joined(block.content, ""), call_id=block.tool_use_id)
        if text or not results:
            yield Message.of(self.role, "".join(text), calls=tuple(calls))

    def _must_be(self, role: str, path: str) -> None:
        if self.role != role:
            raise InvalidRequest(
                f"Only messages of the role '{role}' hold such blocks.", f"{path}.type", "invalid_value"
            )


class Thinking(StrictBody):
    """Whether the model thinks. `budget_tokens` has no effect: open models take no such limit."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: TokenLimit | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(StrictBody):
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(StrictBody):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


def _only_custom(kind: object) -> object:
    if isinstance(kind, str) and kind != "custom":
        raise unsupported("Tools of type '{kind}' are not supported, only custom ones are.", kind=kind[:64])
    return kind


class ToolOffer(Block):
    """A tool that the client offers. Fields for Anthropic's own models only (`input_examples`, …) are ignored."""

    type: Annotated[Literal["custom"] | None, BeforeValidator(_only_custom)] = None
    name: FunctionName
    description: str | None = None
    input_schema: Parameters
    strict: bool | None = None
    eager_input_streaming: bool | None = None

    def to_tool(self) -> Tool:
        return Tool(self.name, self.description, self.input_schema, bool(self.strict))


class AnthropicChoice(StrictBody):
    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: bool | None = None

    def to_choice(self) -> ToolChoice:
        if self.type == "tool" and self.name is None:
            raise missing("tool_choice.name")
        return ToolChoice(CHOICES[self.type], self.name if self.type == "tool" else None)


class CountBody(StrictBody):
    """The fields that make up the prompt; all of /v1/messages/count_tokens, and part of /v1/messages."""

    model: ModelName
    messages: Annotated[list[AnthropicTurn], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    system: SaidText | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    tools: Annotated[list[ToolOffer], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: AnthropicChoice | None = None

    def to_request(self, request_id: str) -> GenerationRequest:
        tools, choice = self._offered
        return GenerationRequest(
            id=request_id,
            model=self.model,
            messages=self._messages,
            template_options=self._template_options,
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=not (self.tool_choice and self.tool_choice.disable_parallel_tool_use),
        )

    def path_of(self, place: Place) -> str:
        match place:
            case ("messages", *_):
                return "messages"
            case ("tools", int(index), "parameters", *inside):
                return dotted(("tools", index, "input_schema", *inside))
            case _:
                return super().path_of(place)

    @property
    def _offered(self) -> tuple[tuple[Tool, ...], ToolChoice]:
        tools = tuple(offer.to_tool() for offer in self.tools or ())
        choice = self.tool_choice.to_choice() if self.tool_choice else ToolChoice()
        check(tools, choice, self.path_of)
        return tools, choice

    @property
    def _messages(self) -> tuple[Message, ...]:
        told = _without_billing(self.system)
        system = [] if told in (None, []) else [Message.of("system", joined(told, "\n\n"))]
        turns = (turn.to_messages(f"messages[{index}]") for index, turn in enumerate(self.messages))
        said = tuple(message for turn in turns for message in turn)
        self._check_beginning(said[-1])
        return (*system, *said)

    def _check_beginning(self, last: Message) -> None:
        """Check a last message of the assistant, which the answer continues, by Anthropic's rules."""
        if last.role != "assistant" or last.calls or not last.text:
            return
        if last.text != last.text.rstrip():
            path = f"messages[{len(self.messages) - 1}].content"
            raise InvalidRequest("What an answer begins with cannot end in white space.", path, "invalid_value")
        if self.thinking and self.thinking.type == "enabled":
            raise InvalidRequest("An answer that has begun is not thought about.", "thinking", "invalid_value")

    @property
    def _template_options(self) -> dict[str, object]:
        """Return the template's options; without `thinking` there are none, and the model or its profile decides."""
        return {} if self.thinking is None else {"enable_thinking": self.thinking.type != "disabled"}


class MessagesBody(CountBody):
    max_tokens: TokenLimit
    stream: bool | None = None
    stop_sequences: Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS, fail_fast=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    output_format: OutputFormat | None = None

    @property
    def grammar(self) -> Grammar | None:
        """The grammar of the answer; `output_format` is the older name of `output_config.format`."""
        chosen = self._format or self.output_format
        return Grammar("JSON schema", json.dumps(chosen.schema_)) if chosen else None

    @property
    def _format(self) -> OutputFormat | None:
        return self.output_config.format if self.output_config else None

    def path_of(self, place: Place) -> str:
        match place:
            case ("grammar",):
                return "output_config.format.schema" if self._format else "output_format.schema"
            case _:
                return super().path_of(place)

    @property
    def shows_thinking(self) -> bool:
        return self.thinking is None or self.thinking.display != "omitted"

    def to_request(self, request_id: str) -> GenerationRequest:
        chosen = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k")}
        return replace(
            super().to_request(request_id),
            sampling={name: value for name, value in chosen.items() if value is not None},
            max_tokens=self.max_tokens,
            stop=tuple(self.stop_sequences or ()),
            grammar=self.grammar,
        )


def _without_billing(system: str | list[TextBlock] | None) -> str | list[TextBlock] | None:
    return [block for block in system if not block.text.startswith(BILLING)] if isinstance(system, list) else system


def joined(said: str | list[TextBlock] | None, between: str) -> str:
    if said is None or isinstance(said, str):
        return said or ""
    return between.join(block.text for block in said)
