"""The wire schema of `response_format`: the formats an answer can be held to. Knows no Flask and no engine.

`inside` is the field of its format that holds the schema, the pattern or the grammar.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from webapp.api.strict import StrictBody
from webapp.errors import Place
from webapp.generation import Grammar

MAX_GRAMMAR_CHARS = 100_000

GrammarText = Annotated[str, Field(min_length=1, max_length=MAX_GRAMMAR_CHARS)]


class JsonSchema(StrictBody):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class TextFormat(StrictBody):
    type: Literal["text"]


class JsonObjectFormat(StrictBody):
    type: Literal["json_object"]
    inside: ClassVar[Place] = ()

    def grammar(self) -> Grammar:
        return Grammar("JSON schema", '{"type": "object"}')


class JsonSchemaFormat(StrictBody):
    type: Literal["json_schema"]
    json_schema: JsonSchema
    inside: ClassVar[Place] = ("json_schema", "schema")

    def grammar(self) -> Grammar:
        return Grammar("JSON schema", json.dumps(self.json_schema.schema_))


class RegexFormat(StrictBody):
    """An extension: the whole answer matches a regular expression."""

    type: Literal["regex"]
    regex: GrammarText
    inside: ClassVar[Place] = ("regex",)

    def grammar(self) -> Grammar:
        return Grammar("regex", self.regex)


class GrammarFormat(StrictBody):
    """An extension: a Lark grammar in llguidance's dialect."""

    type: Literal["grammar"]
    grammar_: Annotated[GrammarText, Field(alias="grammar")]
    inside: ClassVar[Place] = ("grammar",)

    def grammar(self) -> Grammar:
        return Grammar("grammar", self.grammar_)


def by_type(*kinds: str) -> Discriminator:
    """Tell objects apart by their `type`; one without a type is checked as the first kind."""

    def tag_of(value: object) -> str:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        return f"<{kind}>" if isinstance(kind, str) else f"<{kinds[0]}>"

    return Discriminator(tag_of, "unknown_kind", f"'type' should be one of {', '.join(kinds)}")


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[JsonSchemaFormat, Tag("<json_schema>")]
    | Annotated[RegexFormat, Tag("<regex>")]
    | Annotated[GrammarFormat, Tag("<grammar>")],
    by_type("text", "json_object", "json_schema", "regex", "grammar"),
]
