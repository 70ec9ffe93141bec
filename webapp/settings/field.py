"""Fields of settings, profiles and keys: their words, their limits, and how their values become typed.

`parse_all` is the one loop that reads what a form, a JSON body or the command line brings for such a table of fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webapp.errors import InvalidFields

# `prose` is text as it stands, line ends and spaces too; `names` are a list, `models` and `texts` may be text with
# commas between them.
Type = Literal["integer", "number", "text", "prose", "choice", "switch", "models", "texts", "names", "object", "moment"]
Applies = Literal["now", "next load", "restart"]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_LIST: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Field:
    """What a field is called and which values it takes, under whatever name it stands in its table.

    `unset` says what happens while it has no value, if it may have none; `required` what is said when it must have
    one and has none. `longest` is the most characters of a text and the most entries of a list or an object. `wanted`
    is said of a text that does not fit `pattern` or `longest`. `check` raises ValueError for a typed value, in a list
    for each entry; `read` does all of it for a type that needs to know more than the value.
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
        """The typed value of a JSON value or a form's text; raises ValueError saying what is wanted."""
        if isinstance(raw, str) and self.type != "prose":
            raw = raw.strip()
        value = self._typed(raw) if self.read is None else self.read(raw)
        if self.check is not None:
            for each in value if isinstance(value, tuple) else (value,):
                self.check(each)
        return value

    def is_blank(self, raw: object) -> bool:
        """Whether it says nothing. An empty text is no list of names: what a key may do must not widen by it."""
        return raw is None or (isinstance(raw, str) and self.type != "names" and not raw.strip())

    @property
    def limits(self) -> str:
        """Return the field's limits in words."""
        if self.minimum is None or self.maximum is None:
            return ", ".join(self.choices) or ("a list of" if self.type == "texts" else "model ids")
        return f"{_plain(self.minimum)} to {_plain(self.maximum)}"

    def schema(self) -> dict[str, Any]:
        """Return the field's values as a JSON schema without null."""
        said = {"description": f"{self.label}. {self.help}"}
        match self.type:
            case "choice":
                return {**said, "enum": list(self.choices)}
            case "models" | "texts":
                return {**said, "anyOf": [dict(_LIST), {"type": "string"}]}
            case "names":
                return {**said, **_LIST, **_given(maxItems=self.longest)}
            case "text" | "prose":
                pattern = f"^{self.pattern}$" if self.pattern else None
                return {**said, "type": "string", **_given(pattern=pattern, maxLength=self.longest)}
            case "switch":
                return {**said, "type": "boolean"}
            case "object":
                return {**said, "type": "object", **_given(maxProperties=self.longest)}
            case "moment":
                return {**said, "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}
        return {**said, "type": self.type, **_given(minimum=self.minimum, maximum=self.maximum)}

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
        """The values. Raises InvalidFields with all errors, the `further` ones of whoever knows more among them."""
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
    """Parse everything that is named, and say of everything that does not fit what is wanted.

    `unknown` is what is said of a `{name}` that no field has; `spoken` makes of a name what messages call the field,
    which is its label otherwise.
    """

    def message_of(name: str, fault: object) -> str:
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
            errors[name] = message_of(name, error)
    for name, field in fields.items():
        if field.required and values.get(name) is None and name not in errors:
            errors[name] = message_of(name, field.required)
    return ParsedFields(values, errors)


def _given(**limits: object) -> dict[str, object]:
    return {name: value for name, value in limits.items() if value is not None}


def _plain(number: float) -> str:
    """Without an exponent: people read it."""
    return f"{number:f}".rstrip("0").rstrip(".") if number % 1 else f"{number:.0f}"


def _integer(raw: object) -> int | None:
    """None when it is no whole number. A bool is none either, whatever Python says."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, str) and _WHOLE.fullmatch(raw):
        return int(raw)
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    return raw if isinstance(raw, int) else None


def _number(raw: object) -> float | None:
    """None when it is no finite number."""
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
    """A list of names, or text with commas or line ends between them; each once, in order."""
    parts = re.split(r"[,\n]", raw) if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"must be a list of {what}")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
