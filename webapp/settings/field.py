"""What a setting is: its words, its limits, and how a value from JSON, a form or the command line becomes typed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Type = Literal["integer", "number", "text", "choice", "models", "texts"]
Applies = Literal["now", "next load", "restart"]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting is and which values it takes. `unset`: what happens while it has no value, if it may have none."""

    section: str
    label: str
    help: str
    type: Type
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    applies: Applies = "now"
    unset: str = ""
    check: Callable[[str], None] | None = None

    def parse(self, raw: object) -> object:
        """The typed value of a JSON value or a form's text; raises ValueError saying what is wanted."""
        if isinstance(raw, str):
            raw = raw.strip()
        match self.type:
            case "integer":
                return self._within(_integer(raw), "a whole number")
            case "number":
                return self._within(_number(raw), "a number")
            case "choice":
                if raw not in self.choices:
                    raise ValueError(f"must be one of {', '.join(self.choices)}")
            case "models":
                return _names(raw, "model ids")
            case "texts":
                texts = _names(raw, self.unit)
                for each in texts:
                    self._check(each)
                return texts
            case "text":
                if not isinstance(raw, str):
                    raise ValueError("must be text")
                self._check(raw)
        return raw

    @property
    def limits(self) -> str:
        """What it takes, in words."""
        if self.minimum is None or self.maximum is None:
            return ", ".join(self.choices) or ("a list of" if self.type == "texts" else "model ids")
        return f"{_plain(self.minimum)} to {_plain(self.maximum)}"

    def _check(self, text: str) -> None:
        if self.check:
            self.check(text)

    def _within(self, value: float | None, kind: str) -> float:
        too_small = value is not None and self.minimum is not None and value < self.minimum
        too_large = value is not None and self.maximum is not None and value > self.maximum
        if value is None or too_small or too_large:
            raise ValueError(f"must be {kind} from {self.limits}")
        return value


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


def is_blank(raw: object) -> bool:
    return raw is None or (isinstance(raw, str) and not raw.strip())
