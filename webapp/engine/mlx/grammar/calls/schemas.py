"""Reads the JSON schemas of arguments, for families that write arguments in another form than JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, object]

# Keywords of a schema that do not limit what is valid.
ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id"}
)
DEFINITIONS = ("$defs", "definitions")
NAMED = ("properties", "patternProperties", *DEFINITIONS)
VALUES = ("const", "default", "enum", "examples")
DEEPEST = 24


class Unwritable(Exception):
    """Raised when this family cannot write a part of a schema. `path` leads to it from the arguments' schema."""

    def __init__(self, reason: str, path: tuple[str, ...] = ()):
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def below(self, *names: str) -> Unwritable:
        return Unwritable(self.reason, (*names, *self.path))


def limits(schema: object) -> Any:
    """The schema without `propertyNames` of type string, which is always true and which zod adds to each record."""
    if isinstance(schema, list):
        return [limits(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {word: value for word, value in schema.items() if (word, value) != ("propertyNames", {"type": "string"})}
    return {word: _limits_below(word, value) for word, value in kept.items()}


def _limits_below(word: str, value: object) -> object:
    """`limits` of what a keyword holds: names of properties are no keywords, and example values are no schemas."""
    if word in NAMED and isinstance(value, Mapping):
        return {name: limits(each) for name, each in value.items()}
    return value if word in VALUES else limits(value)


def said(schema: Schema) -> set[str]:
    """The keywords of a schema that limit what is valid."""
    return set(schema) - ANNOTATIONS - set(DEFINITIONS)


def check_words(schema: Schema, known: set[str]) -> None:
    if unknown := sorted(said(schema) - known):
        raise Unwritable(f"'{unknown[0]}' cannot be enforced in the way this model writes calls", (unknown[0],))


def alternatives(schema: object, root: Schema, depth: int = 0) -> list[Schema]:
    """The schemas that this one is a choice of, each of a single type or of any type."""
    if not isinstance(schema, Mapping):
        return [{}] if schema is True else []
    if depth > DEEPEST:
        raise Unwritable("its references lead nowhere")
    if said(schema) == {"$ref"}:
        return alternatives(_target(str(schema["$ref"]), root), root, depth + 1)
    for word in ("anyOf", "oneOf"):
        choices = schema.get(word)
        if said(schema) == {word} and isinstance(choices, Sequence):
            found = [each for choice in choices for each in alternatives(choice, root, depth + 1)]
            if word == "anyOf" or len({type_of(each) for each in found}) == len(found):
                return found
    return _of_one_type(schema)


def _of_one_type(schema: Schema) -> list[Schema]:
    types = schema.get("type")
    given = types if isinstance(types, list) else [types]
    if "enum" not in schema and "const" not in schema:
        return [{**schema, "type": each} if each else schema for each in given]
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    sorts: dict[str, list[object]] = {}
    for value in values if isinstance(values, list) else []:
        sort = _type_of_value(value)
        wide = "number" if sort == "integer" and "number" in given else sort
        if types is None or wide in given:
            sorts.setdefault(wide, []).append(value)
    rest = {word: value for word, value in schema.items() if word != "const"}
    return [{**rest, "type": sort, "enum": found} for sort, found in sorts.items()]


def _type_of_value(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def type_of(alternative: Schema) -> str | None:
    named = alternative.get("type")
    return named if isinstance(named, str) else None


def _target(reference: str, root: Schema) -> object:
    here: object = root
    for name in reference.removeprefix("#").split("/")[1:]:
        if not isinstance(here, Mapping) or name not in here:
            raise Unwritable(f"'{reference}' leads nowhere", ("$ref",))
        here = here[name]
    return here


def properties(schema: Schema) -> Mapping[str, object]:
    """The schemas of the properties by name, including required properties that the schema does not describe."""
    named = schema.get("properties")
    described = named if isinstance(named, Mapping) else {}
    more = schema.get("additionalProperties", True)
    return {**described, **{name: more for name in required(schema) if name not in described}}


def required(schema: Schema) -> list[str]:
    names = schema.get("required")
    return [str(name) for name in names] if isinstance(names, list) else []


def is_text(schema: object, root: Schema) -> bool:
    """True if the schema allows only strings, or strings and null; such values are written without quotes."""
    types = {type_of(each) for each in alternatives(schema, root)}
    return "string" in types and types <= {"string", "null"}


def as_read(schema: Schema) -> Schema:
    """The schema for mlx-lm's parsers (0.32), which read only `type`: text is a string, all else exact JSON."""
    read = {}
    for name, each in properties(schema).items():
        try:
            read[name] = {"type": "string" if is_text(each, schema) else "object"}
        except Unwritable:
            read[name] = {"type": "object"}
    return {"type": "object", "properties": read}
