"""The settings in force: values of the command line over those of the environment, the database and the defaults.

The store of saved values is a parameter, and the rooms that obey settings subscribe; this room knows neither.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol

from webapp.errors import InvalidFields
from webapp.settings.field import Applies, Field, Type, parse_all
from webapp.settings.table import Settings, option_name, table, variable_name

log = logging.getLogger(__name__)

Source = Literal["default", "saved", "environment", "command line"]


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as a page or the API shows it. `fixed`: the environment or the command line sets its value."""

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


class SavedValues(Protocol):
    """The store of saved settings."""

    def load(self) -> dict[str, object]: ...

    def save(self, values: Mapping[str, object], removed: Collection[str] = ()) -> None: ...


Subscriber = Callable[[Settings, Settings], list[str]]
# Takes the typed values to save and the settings in force; returns an error message for each wrong value.
Check = Callable[[Mapping[str, Any], Settings], Mapping[str, str]]


def _all_fit(values: Mapping[str, Any], current: Settings) -> Mapping[str, str]:
    return {}


class LayeredSettings:
    """The settings in force: command line over environment over saved over default.

    Raises InvalidFields if the command line or the environment has a wrong value. It logs and ignores a saved value
    that is no longer valid.
    """

    def __init__(
        self,
        overrides: Mapping[str, object],
        environ: Mapping[str, str],
        store: SavedValues,
        fields: Mapping[str, Field] = MappingProxyType(table()),
    ):
        self._store = store
        self._fields = fields
        self._command_line = self._fixed({name: overrides.get(name) for name in fields}, option_name)
        self._environment = self._fixed({name: environ.get(variable_name(name)) for name in fields}, variable_name)
        self._saved = self._still_valid(store.load())
        self._subscribers: list[Subscriber] = []
        self._saving = threading.Lock()
        self._current = self._layered(self._saved)
        for name, message in self._current.contradictions().items():
            if self._saved.pop(name, None) is None:
                raise InvalidFields({name: message})
            log.warning("the saved setting %s is not used: %s", name, message)
        self._current = self._layered(self._saved)

    @property
    def current(self) -> Settings:
        return self._current

    def on_change(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with the settings before and after every change; it returns the effects in words."""
        self._subscribers.append(subscriber)

    def fields(self) -> list[SettingRow]:
        return list(self._rows())

    def save(self, raw: Mapping[str, object], check: Check = _all_fit) -> list[str]:
        """Parse, check, store and apply all values or none; returns the effects in words.

        None or empty text means the default. Raises InvalidFields with every error, those of `check` too.
        """
        parsed = parse_all(self._fields, raw, "There is no setting '{name}'.")
        return self.change(lambda current: parsed.checked(check(parsed.values, current)))

    def change(self, chosen: Callable[[Settings], Mapping[str, Any]]) -> list[str]:
        """Store and apply the typed values that `chosen` makes from the settings in force, under the lock.

        Returns the effects in words. None means the default. Raises InvalidFields.
        """
        with self._saving:
            before = self._current
            values = chosen(before)
            kept = {name: value for name, value in values.items() if value is not None}
            saved = {name: value for name, value in self._saved.items() if name not in values} | kept
            after = self._layered(saved)
            if errors := after.contradictions():
                raise InvalidFields(errors)
            self._store.save(kept, removed=values.keys() - kept.keys())
            self._saved, self._current = saved, after
            effects = [effect for subscriber in self._subscribers for effect in subscriber(before, after)]
        return effects + [effect for name in values for effect in self._delays(name, values[name], before, after)]

    def _fixed(self, raw: Mapping[str, object], spoken: Callable[[str], str]) -> dict[str, object]:
        """The typed values that are given. Raises InvalidFields, which names them as the user wrote them."""
        parsed = parse_all(self._fields, raw, spoken=spoken)
        parsed.checked()
        return parsed.given

    def _still_valid(self, saved: Mapping[str, object]) -> dict[str, object]:
        parsed = parse_all(self._fields, {name: saved[name] for name in self._fields if name in saved})
        for name, message in parsed.errors.items():
            log.warning("the saved setting %s is not used: %s", name, message)
        return parsed.given

    def _layered(self, saved: Mapping[str, Any]) -> Settings:
        return Settings(**{**saved, **self._environment, **self._command_line})

    def _source(self, name: str) -> Source:
        if name in self._command_line:
            return "command line"
        if name in self._environment:
            return "environment"
        return "saved" if name in self._saved else "default"

    def _rows(self) -> Iterator[SettingRow]:
        for name, field in self._fields.items():
            source = self._source(name)
            yield SettingRow(
                name=name,
                value=getattr(self._current, name),
                source=source,
                variable=variable_name(name),
                fixed=source in ("command line", "environment"),
                default=field.default,
                section=field.section,
                label=field.label,
                help=field.help,
                type=field.type,
                minimum=field.minimum,
                maximum=field.maximum,
                choices=field.choices,
                unit=field.unit,
                applies=field.applies,
                unset=field.unset,
            )

    def _delays(self, name: str, value: object, before: Settings, after: Settings) -> Iterator[str]:
        """Yields a sentence for people if a saved value does not act yet."""
        field = self._fields[name]
        winner = {"command line": option_name(name), "environment": variable_name(name)}.get(self._source(name))
        if winner and value != getattr(after, name):
            yield f"{field.label} is saved, but {winner} still decides: it stays {getattr(after, name)}."
        elif field.applies != "now" and getattr(before, name) != getattr(after, name):
            when = "when Hearth starts again" if field.applies == "restart" else "when a model is loaded next"
            yield f"{field.label} becomes {getattr(after, name)} {when}."
