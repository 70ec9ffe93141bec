"""The wire schema of the options for a model's chat template. Only the template knows which names it reads."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from webapp.api.strict import StrictBody, dotted
from webapp.errors import InvalidRequest, Place
from webapp.generation import Level

OPTIONS = "chat_template_kwargs"
MAX_OPTIONS = 32
MAX_OPTIONS_CHARS = 20_000

OptionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
TemplateOptions = Annotated[dict[OptionName, Any], Field(max_length=MAX_OPTIONS)]


class TemplateBody(StrictBody):
    chat_template_kwargs: TemplateOptions | None = None
    reasoning_effort: Level | None = None

    @property
    def template_options(self) -> dict[str, object]:
        """The options that the client set; `null` means unset."""
        given = {key: value for key, value in (self.chat_template_kwargs or {}).items() if value is not None}
        if not isinstance(given.get("enable_thinking", True), bool):
            raise InvalidRequest("It must be true or false.", f"{OPTIONS}.enable_thinking", "invalid_type")
        if len(json.dumps(given)) > MAX_OPTIONS_CHARS:
            message = f"All values must come to no more than {MAX_OPTIONS_CHARS:,} characters of JSON."
            raise InvalidRequest(message, OPTIONS, "invalid_value")
        return given

    def path_of(self, place: Place) -> str:
        match place:
            case ("effort",):
                return "reasoning_effort"
            case ("options", *inside):
                return dotted((OPTIONS, *inside))
            case _:
                return super().path_of(place)
