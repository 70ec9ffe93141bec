"""The one table of settings: every field with its default, limits, words and when it applies.

Command line, environment, form, validation and docs/settings.md all read it. Where values are kept is a parameter,
who obeys them subscribes; this room knows neither.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from webapp.errors import InvalidFields

log = logging.getLogger(__name__)

Type = Literal["integer", "number", "text", "choice"]
Applies = Literal["now", "next load", "restart"]
Source = Literal["default", "saved", "environment", "command line"]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting is and which values it takes. `nullable`: unset means that the model decides."""

    section: str
    label: str
    help: str
    type: Type
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    applies: Applies = "now"
    nullable: bool = False
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
            case "text":
                if not isinstance(raw, str):
                    raise ValueError("must be text")
                if self.check:
                    self.check(raw)
        return raw

    @property
    def limits(self) -> str:
        """The numbers it takes, in words."""
        if self.minimum is None or self.maximum is None:
            return ", ".join(self.choices)
        return f"{self.minimum:g} to {self.maximum:.10g}"

    def _within(self, value: float | None, kind: str) -> float:
        too_small = value is not None and self.minimum is not None and value < self.minimum
        too_large = value is not None and self.maximum is not None and value > self.maximum
        if value is None or too_small or too_large:
            raise ValueError(f"must be {kind} from {self.limits}")
        return value


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


def only_this_machine(host: str) -> None:
    """Until there are API keys, nobody else may connect."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            "must be an address of this machine alone, such as 127.0.0.1: "
            "anyone on another network could use Hearth, as there are no API keys yet"
        )


def _setting(default: object, rule: Rule) -> Any:
    """A field of `Settings`: its default, and its rule as metadata."""
    return field(default=default, metadata={"rule": rule})


def text(default: str, section: str, label: str, help: str, **more: Any) -> Any:
    return _setting(default, Rule(section, label, help, "text", **more))


def choice(default: str, choices: tuple[str, ...], section: str, label: str, help: str) -> Any:
    return _setting(default, Rule(section, label, help, "choice", choices=choices))


def integer(default: int, limits: tuple[int, int], section: str, label: str, help: str, **more: Any) -> Any:
    return _setting(default, Rule(section, label, help, "integer", *limits, **more))


def number_or_none(limits: tuple[float, float], section: str, label: str, help: str) -> Any:
    return _setting(None, Rule(section, label, help, "number", *limits, nullable=True))


@dataclass(frozen=True, slots=True)
class Settings:
    """All values at one moment. Immutable: a change makes a new one and swaps it whole."""

    host: str = text(
        "127.0.0.1", "Server", "Address", "The address to listen on.", applies="restart", check=only_this_machine
    )
    port: int = integer(
        10242, (0, 65535), "Server", "Port", "The port for pages and API; 0 takes any free one.", applies="restart"
    )
    log_level: str = choice(
        "info", ("debug", "info", "warning", "error"), "Server", "Log level", "The least serious messages logged."
    )
    max_waiting: int = integer(
        256, (0, 10_000), "Server", "Queue length", "Requests that may wait; more are refused.", unit="requests"
    )
    batch_size: int = integer(
        32, (1, 256), "Scheduling", "Batch size", "Answers that one model writes at a time.", unit="sequences"
    )
    prefill_tokens: int = integer(
        2048, (16, 16_384), "Scheduling", "Prefill chunk", "The most prompt tokens of one step.", unit="tokens"
    )
    stall_ms: int = integer(
        100,
        (5, 2000),
        "Scheduling",
        "Longest pause",
        "What new prompts may hold up running answers; twice that while more wait than run.",
        unit="ms",
    )
    prefix_cache_mb: int = integer(
        1024, (0, 1_048_576), "Scheduling", "Prefix cache", "Memory for prompts kept for reuse.", unit="MB"
    )
    max_tokens: int = integer(
        2048, (1, 1_000_000), "Generation", "Answer length", "Where answers end unless a request says.", unit="tokens"
    )
    temperature: float | None = number_or_none(
        (0, 2), "Generation", "Temperature", "For models that recommend none; 0 always takes the likeliest token."
    )
    top_p: float | None = number_or_none(
        (0, 1), "Generation", "Top p", "For models that recommend none; the share of likeliest tokens to choose from."
    )
    theme: str = choice(
        "auto", ("auto", "light", "dark"), "Appearance", "Theme", "Light, dark, or as the system is set."
    )


def table() -> dict[str, tuple[object, Rule]]:
    """Default and rule of every setting, in the order of the page."""
    return {each.name: (each.default, each.metadata["rule"]) for each in fields(Settings)}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as a page or the API shows it; `fixed`: the environment or the command line decides."""

    name: str
    value: object
    source: Source
    variable: str
    fixed: bool
    default: object
    section: str
    label: str
    help: str
    type: Type
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    unit: str
    applies: Applies
    nullable: bool


class InvalidSettings(InvalidFields):
    """Settings that no setting can be, or that there are none of."""


class SavedValues(Protocol):
    """Where saved settings are kept."""

    def load(self) -> dict[str, object]: ...

    def save(self, values: Mapping[str, object], removed: Collection[str] = ()) -> None: ...


Subscriber = Callable[[Settings, Settings], list[str]]


class LayeredSettings:
    """The settings in force: command line over environment over saved over default.

    Raises InvalidSettings when the command line or the environment says what no setting can be; a saved value
    that no longer fits counts as not saved.
    """

    def __init__(self, overrides: Mapping[str, object], environ: Mapping[str, str], store: SavedValues):
        self._store = store
        self._rules = {name: rule for name, (_, rule) in table().items()}
        self._command_line = self._fixed({name: overrides.get(name) for name in self._rules}, option_name)
        self._environment = self._fixed({name: environ.get(variable_name(name)) for name in self._rules}, variable_name)
        self._saved = self._still_valid(store.load())
        self._subscribers: list[Subscriber] = []
        self._saving = threading.Lock()
        self._current = self._layered(self._saved)

    @property
    def current(self) -> Settings:
        return self._current

    def on_change(self, subscriber: Subscriber) -> None:
        """Call it with the settings before and after every change; it returns what happened, in words."""
        self._subscribers.append(subscriber)

    def fields(self) -> list[Row]:
        return list(self._rows())

    def save(self, raw: Mapping[str, object]) -> list[str]:
        """Check all, keep all, apply all; returns the effects in words. None or empty text means the default."""
        values = self._parsed(raw)
        kept = {name: value for name, value in values.items() if value is not None}
        with self._saving:
            self._store.save(kept, removed=values.keys() - kept.keys())
            before = self._current
            self._saved = {name: value for name, value in self._saved.items() if name not in values} | kept
            after = self._current = self._layered(self._saved)
            effects = [effect for subscriber in self._subscribers for effect in subscriber(before, after)]
        return effects + [effect for name in values for effect in self._delays(name, values[name], before, after)]

    def _parsed(self, raw: Mapping[str, object]) -> dict[str, object]:
        values: dict[str, object] = {}
        errors: dict[str, str] = {}
        for name, value in raw.items():
            if name not in self._rules:
                errors[name] = f"There is no setting '{name}'."
                continue
            try:
                values[name] = None if is_blank(value) else self._rules[name].parse(value)
            except ValueError as error:
                errors[name] = f"{self._rules[name].label} {error}."
        if errors:
            raise InvalidSettings(errors)
        return values

    def _fixed(self, raw: Mapping[str, object], spoken: Callable[[str], str]) -> dict[str, object]:
        """The values that are given, under the name by which the user gave them if one is wrong."""
        values = {}
        for name, value in raw.items():
            try:
                if not is_blank(value):
                    values[name] = self._rules[name].parse(value)
            except ValueError as error:
                raise InvalidSettings({name: f"{spoken(name)} {error}."}) from error
        return values

    def _still_valid(self, saved: Mapping[str, object]) -> dict[str, object]:
        values = {}
        for name, rule in self._rules.items():
            try:
                if name in saved:
                    values[name] = rule.parse(saved[name])
            except ValueError as error:
                log.warning("the saved setting %s is not used: it %s", name, error)
        return values

    def _layered(self, saved: Mapping[str, Any]) -> Settings:
        return Settings(**{**saved, **self._environment, **self._command_line})

    def _source(self, name: str) -> Source:
        if name in self._command_line:
            return "command line"
        if name in self._environment:
            return "environment"
        return "saved" if name in self._saved else "default"

    def _rows(self) -> Iterator[Row]:
        for name, (default, rule) in table().items():
            source = self._source(name)
            yield Row(
                name=name,
                value=getattr(self._current, name),
                source=source,
                variable=variable_name(name),
                fixed=source in ("command line", "environment"),
                default=default,
                section=rule.section,
                label=rule.label,
                help=rule.help,
                type=rule.type,
                minimum=rule.minimum,
                maximum=rule.maximum,
                choices=rule.choices,
                unit=rule.unit,
                applies=rule.applies,
                nullable=rule.nullable,
            )

    def _delays(self, name: str, value: object, before: Settings, after: Settings) -> Iterator[str]:
        """Why a saved value does not act yet, if it does not."""
        rule = self._rules[name]
        winner = {"command line": option_name(name), "environment": variable_name(name)}.get(self._source(name))
        if winner and value != getattr(after, name):
            yield f"{rule.label} is saved, but {winner} still decides: it stays {getattr(after, name)}."
        elif rule.applies != "now" and getattr(before, name) != getattr(after, name):
            when = "when Hearth starts again" if rule.applies == "restart" else "when a model is loaded next"
            yield f"{rule.label} becomes {getattr(after, name)} {when}."


def is_blank(raw: object) -> bool:
    return raw is None or (isinstance(raw, str) and not raw.strip())


def variable_name(name: str) -> str:
    return f"HEARTH_{name.upper()}"


def option_name(name: str) -> str:
    return f"--{name.replace('_', '-')}"
