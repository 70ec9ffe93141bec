"""The wire schema of /v1/responses: a conversation as items. Knows no Flask and no engine.

A request brings the whole conversation, or continues a stored response.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter

from webapp.api.openai.format_schema import TextFormat, by_type
from webapp.api.openai.responses_tools_schema import (
    AnyTools,
    Callee,
    ResponseChoice,
    callees,
    joined_name,
    paths_of,
    to_tools,
)
from webapp.api.strict import MAX_MESSAGES, ModelName, StrictBody, TokenLimit, dotted, shape_of, unsupported
from webapp.errors import InvalidRequest, Place
from webapp.generation import Call, GenerationRequest, Grammar, Level, Message, Part, TextPart

TEXT_PARTS = frozenset({"input_text", "output_text", "text"})
ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning", "item_reference"})

Id = Annotated[str, Field(min_length=1, max_length=256)]


def _only_text(kind: object) -> object:
    if isinstance(kind, str) and kind not in TEXT_PARTS:
        raise unsupported("Content parts of type '{kind}' are not supported.", kind=kind[:64])
    return kind


class ItemPart(StrictBody):
    type: Annotated[Literal["input_text", "output_text", "text"], BeforeValidator(_only_text)]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


Parts = Annotated[list[ItemPart], Field(fail_fast=True), Tag("<list>")]
ItemContent = Annotated[Annotated[str, Tag("<text>")] | Parts, Discriminator(shape_of)]


class MessageItem(StrictBody):
    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: ItemContent
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class CallItem(StrictBody):
    type: Literal["function_call"]
    call_id: Id
    name: Id
    arguments: str
    namespace: Id | None = None
    id: str | None = None
    status: str | None = None

    def to_call(self) -> Call:
        return Call(self.call_id, joined_name(self.namespace, self.name), self.arguments)


class OutputItem(StrictBody):
    type: Literal["function_call_output"]
    call_id: Id
    output: ItemContent
    id: str | None = None
    status: str | None = None


class ReasoningItem(StrictBody):
    """Reasoning of an earlier answer. It is dropped: the chat templates of open models do not use it."""

    type: Literal["reasoning"]
    id: str | None = None
    summary: list[Any] | None = None
    content: list[Any] | None = None
    encrypted_content: str | None = None
    status: str | None = None


class ReferenceItem(StrictBody):
    """Stands for an item of a stored response."""

    type: Literal["item_reference"]
    id: Id


def _tag_of_item(item: object) -> str:
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return f"<{kind or 'message'}>"


def _only_known_items(item: object) -> object:
    kind = item.get("type") if isinstance(item, dict) else None
    if isinstance(kind, str) and kind not in ITEMS:
        raise unsupported("Items of type '{kind}' are not supported.", kind=kind[:64])
    return item


Item = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[CallItem, Tag("<function_call>")]
    | Annotated[OutputItem, Tag("<function_call_output>")]
    | Annotated[ReasoningItem, Tag("<reasoning>")]
    | Annotated[ReferenceItem, Tag("<item_reference>")],
    Discriminator(_tag_of_item),
    BeforeValidator(_only_known_items),
]
_ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[Item])
Items = Annotated[list[Item], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True), Tag("<list>")]
Input = Annotated[Annotated[str, Field(min_length=1), Tag("<text>")] | Items, Discriminator(shape_of)]


class ObjectFormat(StrictBody):
    type: Literal["json_object"]


class SchemaFormat(StrictBody):
    type: Literal["json_schema"]
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


AnyFormat = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[ObjectFormat, Tag("<json_object>")]
    | Annotated[SchemaFormat, Tag("<json_schema>")],
    by_type("text", "json_object", "json_schema"),
]


class TextOptions(StrictBody):
    format: AnyFormat | None = None
    verbosity: Literal["medium"] | None = None

    @property
    def grammar(self) -> Grammar | None:
        match self.format:
            case SchemaFormat():
                return Grammar("JSON schema", json.dumps(self.format.schema_))
            case ObjectFormat():
                return Grammar("JSON schema", '{"type": "object"}')
        return None


class ResponseReasoning(StrictBody):
    effort: Level | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseBody(StrictBody):
    model: ModelName
    input: Input
    previous_response_id: Id | None = None
    store: bool | None = None
    instructions: str | None = None
    max_output_tokens: TokenLimit | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stream: bool | None = None
    text: TextOptions | None = None
    reasoning: ResponseReasoning | None = None
    tools: AnyTools | None = None
    tool_choice: ResponseChoice | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, str] | None = None

    def to_request(self, request_id: str, earlier: Sequence[Item] = ()) -> GenerationRequest:
        """Return the request; `earlier` is the conversation that it continues, without its instructions."""
        chosen = {"temperature": self.temperature, "top_p": self.top_p}
        tools, choice = to_tools(self.tools or (), self.tool_choice or "auto", self.path_of)
        return GenerationRequest(
            id=request_id,
            model=self.model,
            messages=self._messages(earlier),
            sampling={name: value for name, value in chosen.items() if value is not None},
            max_tokens=self.max_output_tokens,
            effort=self.reasoning.effort if self.reasoning else None,
            grammar=self.text.grammar if self.text else None,
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls is not False,
        )

    def path_of(self, place: Place) -> str:
        match place:
            case ("messages", *_):
                return "input"
            case ("effort",):
                return "reasoning.effort"
            case ("grammar",):
                has_schema = self.text is not None and isinstance(self.text.format, SchemaFormat)
                return "text.format.schema" if has_schema else "text.format"
            case ("tools", int(index), *inside):
                return dotted((*paths_of(self.tools or ())[index], *inside))
            case _:
                return super().path_of(place)

    @property
    def callees(self) -> Mapping[str, Callee]:
        """The functions of namespaces, by the joined name that the model calls."""
        return callees(self.tools or ())

    def _messages(self, earlier: Sequence[Item]) -> tuple[Message, ...]:
        """Return the messages of the conversation. Calls become part of the assistant's message before them."""
        asked = [MessageItem(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        if len(earlier) + len(asked) > MAX_MESSAGES:
            message = f"The conversation has come to more than {MAX_MESSAGES:,} items."
            raise InvalidRequest(message, "previous_response_id", "invalid_value")
        messages = [] if self.instructions is None else [Message.of("system", self.instructions)]
        for item in (*earlier, *asked):
            match item:
                case MessageItem():
                    messages.append(Message(item.role, parts_of(item.content)))
                case CallItem():
                    if not messages or messages[-1].role != "assistant":
                        messages.append(Message.of("assistant", ""))
                    messages[-1] = replace(messages[-1], calls=(*messages[-1].calls, item.to_call()))
                case OutputItem():
                    messages.append(Message("tool", parts_of(item.output), call_id=item.call_id))
        return tuple(messages)


def items_of(saved: Sequence[Mapping[str, Any]]) -> list[Item]:
    """Turn stored items into typed ones."""
    return _ITEMS.validate_python(saved)


def parts_of(said: str | list[ItemPart]) -> tuple[Part, ...]:
    texts = ([said] if said else []) if isinstance(said, str) else [part.text for part in said]
    return tuple(TextPart(text) for text in texts)
