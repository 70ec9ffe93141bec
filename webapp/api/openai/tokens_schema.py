"""The wire schema of /v1/tokenize and /v1/detokenize. Knows no Flask and no engine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from webapp.api.openai.generation_schema import ChatMessage, TokenId
from webapp.api.openai.template_schema import TemplateBody
from webapp.api.strict import MAX_MESSAGES, ModelName, StrictBody, dotted
from webapp.errors import InvalidRequest, Place
from webapp.generation import GenerationRequest


class TokenizeBody(TemplateBody):
    """Either `input`, text as it stands, or `messages`, which go through the chat template."""

    model: ModelName
    input: str | None = None
    add_special_tokens: bool | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)] | None = None

    def check(self) -> None:
        if (self.input is None) == (self.messages is None):
            raise InvalidRequest("Give either 'input' or 'messages'.", "input", "invalid_value")

    def to_request(self, request_id: str) -> GenerationRequest:
        """Return the request that a chat with these messages would make."""
        return GenerationRequest(
            id=request_id,
            model=self.model,
            messages=tuple(said.to_message(f"messages[{index}]") for index, said in enumerate(self.messages or ())),
            template_options=self.template_options,
            insists_on_options=True,
            effort=self.reasoning_effort,
        )

    def path_of(self, place: Place) -> str:
        match place:
            case ("text", *inside):
                return dotted(("input", *inside))
            case _:
                return super().path_of(place)


class DetokenizeBody(StrictBody):
    model: ModelName
    tokens: Annotated[list[TokenId], Field(fail_fast=True)]
