"""Describes a field of a setting, a profile or a key: its texts, its limits, and how its raw value becomes typed.

`parse_all` is the one loop that parses the values of a form, a JSON body or the command line by a table of fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webapp.errors import InvalidFields

# `prose` is text with its spaces and line ends unchanged; `names` are a list, `models` and `texts` may be text with
# commas between them.
Type = Literal["integer", "number", "text", "prose", "choice", "switch", "models", "texts", "names", "object", "moment"]
Applies = Literal["now", "next load", "restart"]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_LIST: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Field:
    """The label, the help and the accepted values of one field; the table of fields holds its name.

    `unset` tells people what happens without a value; `required` is the error message for a missing value. `longest`
    limits the characters of a text and the entries of a list or an object. `wanted` is the error message for a text
    that violates `pattern` or `longest`. `check` raises ValueError for a wrong typed value, and gets each entry of a
    list; `read` replaces the parsing for a type that depends on more than the raw value, such as the time.
    """

    label: str
    help: str
    type: Type
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    longest: int | None = None
    pattern: str = ""
    unit: str = ""
    section: str = ""
    applies: Applies = "now"
    default: object = None
    unset: str = ""
    required: str = ""
    wanted: str = "must be text"
    check: Callable[[Any], None] | None = None
    read: Callable[[object], object] | None = None

    def parse(self, raw: object) -> object:
        """The typed value of a JSON value or a form's text. Raises ValueError with a message such as "must be …"."""
        if isinstance(raw, str) and self.type != "prose":
            raw = raw.strip()
        value = self._typed(raw) if self.read is None else self.read(raw)
        if self.check is not None:
            for each in value if isinstance(value, tuple) else (value,):
                self.check(each)
        return value

    def is_blank(self, raw: object) -> bool:
        """True for None and blank text. Blank `names` are an error instead: they must not widen a key's rights."""
        return raw is None or (isinstance(raw, str) and self.type != "names" and not raw.strip())

    @property
    def limits(self) -> str:
        """The accepted values, in words."""
        if self.minimum is None or self.maximum is None:
            return ", ".join(self.choices) or ("a list of" if self.type == "texts" else "model ids")
        return f"{_plain(self.minimum)} to {_plain(self.maximum)}"

    def schema(self) -> dict[str, Any]:
        """The accepted values as a JSON schema, without null."""
        described = {"description": f"{self.label}. {self.help}"}
        match self.type:
            case "choice":
                return {**described, "enum": list(self.choices)}
            case "models" | "texts":
                return {**described, "anyOf": [dict(_LIST), {"type": "string"}]}
            case "names":
                return {**described, **_LIST, **_given(maxItems=self.longest)}
            case "text" | "prose":
                pattern = f"^{self.pattern}$" if self.pattern else None
                return {**described, "type": "string", **_given(pattern=pattern, maxLength=self.longest)}
            case "switch":
                return {**described, "type": "boolean"}
            case "object":
                return {**described, "type": "object", **_given(maxProperties=self.longest)}
            case "moment":
                return {**described, "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}
        return {**described, "type": self.type, **_given(minimum=self.minimum, maximum=self.maximum)}

    def _typed(self, raw: object) -> object:
        match self.type:
            case "integer":
                return self._within(_integer(raw), "a whole number")
            case "number":
                return self._within(_number(raw), "a number")
            case "choice":
                if raw not in self.choices:
                    raise ValueError(f"must be one of {', '.join(self.choices)}")
            case "switch":
                if not isinstance(raw, bool):
                    raise ValueError("must be true or false")
            case "models":
                return _names(raw, "model ids")
            case "texts":
                return _names(raw, self.unit)
            case "names":
                return self._listed(raw)
            case "object":
                if not isinstance(raw, Mapping) or self._is_too_long(raw):
                    raise ValueError(f"must be an object of at most {self.longest} names and values")
                return dict(raw)
            case _:
                if not isinstance(raw, str) or self._is_too_long(raw) or not self._matches(raw):
                    raise ValueError(self.wanted)
        return raw

    def _listed(self, raw: object) -> tuple[str, ...]:
        if not isinstance(raw, list | tuple) or self._is_too_long(raw):
            raise ValueError(f"must be a list of at most {self.longest} {self.unit}")
        if not all(isinstance(each, str) and each.strip() for each in raw):
            raise ValueError(f"must hold {self.unit}")
        return tuple(dict.fromkeys(each.strip() for each in raw))

    def _is_too_long(self, value: str | list | tuple | Mapping) -> bool:
        return self.longest is not None and len(value) > self.longest

    def _matches(self, text: str) -> bool:
        return not self.pattern or re.fullmatch(self.pattern, text) is not None

    def _within(self, value: float | None, kind: str) -> float:
        too_small = value is not None and self.minimum is not None and value < self.minimum
        too_large = value is not None and self.maximum is not None and value > self.maximum
        if value is None or too_small or too_large:
            raise ValueError(f"must be {kind} from {self.limits}")
        return value


@dataclass(frozen=True, slots=True)
class ParsedFields:
    """The typed values by name, None for what is blank, and a message for each field that does not fit."""

    values: Mapping[str, Any]
    errors: Mapping[str, str]

    def checked(self, further: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The values. Raises InvalidFields with all errors, including the `further` ones that the caller found."""
        if errors := {**self.errors, **(further or {})}:
            raise InvalidFields(errors)
        return self.values

    @property
    def given(self) -> dict[str, Any]:
        """The values that are not blank."""
        return {name: value for name, value in self.values.items() if value is not None}


def parse_all(
    fields: Mapping[str, Field],
    raw: Mapping[str, object],
    unknown: str = "There is no field '{name}'.",
    spoken: Callable[[str], str] | None = None,
) -> ParsedFields:
    """Parse all values of `raw`, and collect an error message for each wrong, unknown or missing one.

    `unknown` is the message for a `{name}` that no field has. `spoken` turns a name into the words that messages use
    for the field; without it they use the label.
    """

    def message(name: str, fault: object) -> str:
        return f"{spoken(name) if spoken else fields[name].label} {fault}."

    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, value in raw.items():
        if name not in fields:
            errors[name] = unknown.format(name=name)
            continue
        try:
            values[name] = None if fields[name].is_blank(value) else fields[name].parse(value)
        except ValueError as error:
            errors[name] = message(name, error)
    for name, field in fields.items():
        if field.required and values.get(name) is None and name not in errors:
            errors[name] = message(name, field.required)
    return ParsedFields(values, errors)


def _given(**limits: object) -> dict[str, object]:
    return {name: value for name, value in limits.items() if value is not None}


def _plain(number: float) -> str:
    """The number as text without an exponent, for people."""
    return f"{number:f}".rstrip("0").rstrip(".") if number % 1 else f"{number:.0f}"


def _integer(raw: object) -> int | None:
    """The value as an int; None if it is no whole number. A bool is none either."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, str) and _WHOLE.fullmatch(raw):
        return int(raw)
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    return raw if isinstance(raw, int) else None


def _number(raw: object) -> float | None:
    """The value as a float; None if it is no finite number. A bool is none either."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str) and not _DECIMAL.fullmatch(raw):
        return None
    try:
        value = float(raw)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _names(raw: object, what: str) -> tuple[str, ...]:
    """The names of a list, or of text with commas or line ends between them, in order and without repeats."""
    parts = re.split(r"[,\n]", raw) if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"must be a list of {what}")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
