"""The settings in force: what the command line, the environment and the database say, one over the other.

Where saved values are kept is a parameter, and who obeys the settings subscribes; this room knows neither.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from webapp.errors import InvalidFields
from webapp.settings.field import Applies, Type, is_blank
from webapp.settings.table import Settings, option_name, table, variable_name

log = logging.getLogger(__name__)

Source = Literal["default", "saved", "environment", "command line"]


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
    unset: str


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
        for name, message in self._current.contradictions().items():
            if self._saved.pop(name, None) is None:
                raise InvalidSettings({name: message})
            log.warning("the saved setting %s is not used: %s", name, message)
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
            saved = {name: value for name, value in self._saved.items() if name not in values} | kept
            before, after = self._current, self._layered(saved)
            if errors := after.contradictions():
                raise InvalidSettings(errors)
            self._store.save(kept, removed=values.keys() - kept.keys())
            self._saved, self._current = saved, after
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
                unset=rule.unset,
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
