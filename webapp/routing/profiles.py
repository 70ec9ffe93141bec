"""Profiles: public names, each with a model and defaults of its own.

One table, the fields of `Profile`, drives form, API and checks. The store is a parameter; code that obeys
pins and idle times subscribes. `terms` decides what a profile means for a request.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from webapp.catalog.installed import Catalog
from webapp.errors import Conflict, ModelNotFound, ProfileNotFound
from webapp.generation import RESERVED_OPTIONS, SamplingParams
from webapp.settings.field import Field, parse_all
from webapp.store.profiles import ProfileStore, SavedProfile

log = logging.getLogger(__name__)

LONGEST_NAME = 100
LONGEST_SYSTEM_PROMPT = 100_000
LONGEST_OPTION = 1000
MOST_OPTIONS = 32
NAME = r"(?!\.{1,2}(/|$))[A-Za-z0-9._:-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._:-]+)*"
# The address /profiles/new is the empty form.
RESERVED_NAMES = frozenset({"new"})
OPTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def _refuse_reserved(name: str) -> None:
    if name in RESERVED_NAMES:
        raise ValueError(f"cannot be '{name}', which is the address of the empty form")


def _refuse_unfit_options(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if name in RESERVED_OPTIONS or not OPTION_NAME.fullmatch(name):
            raise ValueError(f"cannot set '{name[:64]}'")
        if not _is_plain(value):
            raise ValueError(
                f"must hold plain values: '{name}' is no text of at most {LONGEST_OPTION:,} characters, "
                "no number, true, false or null"
            )


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_OPTION and not re.search("[\ud800-\udfff]", value)
    return value is None or (isinstance(value, bool | int | float) and math.isfinite(value))


def _required(each: Field) -> Any:
    return field(metadata={"field": each})


def _optional(each: Field) -> Any:
    return field(default=each.default, metadata={"field": each})


def _number(label: str, help: str, limits: tuple[float, float], **more: Any) -> Any:
    return _optional(Field(label, help, "number", *limits, **more))


def _tokens(label: str, help: str, limits: tuple[int, int]) -> Any:
    return _optional(Field(label, help, "integer", *limits, unit="tokens"))


@dataclass(frozen=True, slots=True)
class Profile:
    """A name that answers like a model. None, `{}` and False mean not set: then the model or the server decides."""

    name: str = _required(
        Field(
            "Name",
            "What programs and the chat ask for.",
            "text",
            longest=LONGEST_NAME,
            pattern=NAME,
            required="is missing",
            wanted=f"must be 1 to {LONGEST_NAME} letters, digits and . _ - : /, such as team/helper",
            check=_refuse_reserved,
        )
    )
    model: str = _required(
        Field(
            "Model",
            "The installed model that answers.",
            "text",
            required="is missing",
            wanted="must be the id of an installed model",
        )
    )
    system_prompt: str | None = _optional(
        Field(
            "System prompt",
            "What the model is told first, unless a request brings its own.",
            "prose",
            longest=LONGEST_SYSTEM_PROMPT,
            wanted=f"must be text of at most {LONGEST_SYSTEM_PROMPT:,} characters",
        )
    )
    temperature: float | None = _number("Temperature", "0 always takes the likeliest token.", (0, 2))
    top_p: float | None = _number("Top p", "The share of likeliest tokens to choose from.", (0.001, 1))
    top_k: int | None = _tokens("Top k", "How many of the likeliest tokens to choose from; 0 is all.", (0, 1_000_000))
    min_p: float | None = _number("Min p", "Leaves out what is less likely than this share of the likeliest.", (0, 1))
    repetition_penalty: float | None = _number(
        "Repetition penalty", "Above 1, what was said before becomes less likely.", (0.001, 2)
    )
    max_tokens: int | None = _tokens("Answer length", "Where answers end unless a request says.", (1, 1_000_000))
    context_length: int | None = _tokens(
        "Context limit", "Prompt and answer together; at most what the model holds.", (1, 2**31 - 1)
    )
    template_options: Mapping[str, object] = field(
        default_factory=dict,
        metadata={
            "field": Field(
                "Template options",
                "Names and values for the model's chat template, as JSON.",
                "object",
                longest=MOST_OPTIONS,
                check=_refuse_unfit_options,
            )
        },
    )
    idle_minutes: float | None = _number(
        "Idle time", "Unloads the model when nobody asked for it so long; 0 never does.", (0, 100_000), unit="minutes"
    )
    pinned: bool = _optional(
        Field("Keep loaded", "The model is never evicted and never unloaded for idling.", "switch", default=False)
    )
    created: int = 0

    @property
    def choices(self) -> dict[str, object]:
        """The fields that the profile sets besides its model."""
        values = {name: getattr(self, name) for name in OPTIONAL}
        return {
            name: value for name, value in values.items() if value is not None and value != {} and value is not False
        }

    @property
    def sampling(self) -> dict[str, float]:
        return {
            each.name: value for each in fields(SamplingParams) if (value := getattr(self, each.name, None)) is not None
        }


TABLE: Mapping[str, Field] = MappingProxyType(
    {each.name: each.metadata["field"] for each in fields(Profile) if "field" in each.metadata}
)
OPTIONAL: Mapping[str, Field] = MappingProxyType({name: each for name, each in TABLE.items() if not each.required})
UNKNOWN = "A profile has no field '{name}'."


class Profiles:
    """All profiles, as an immutable snapshot that each change replaces. Thread-safe."""

    def __init__(self, store: ProfileStore, catalog: Catalog):
        self._store = store
        self._catalog = catalog
        self._changing = threading.Lock()
        self._subscribers: list[Callable[[], object]] = []
        self._keep({saved.name: _still_valid(saved) for saved in store.load()})

    @property
    def current(self) -> Mapping[str, Profile]:
        """The profiles by name, in alphabetical order."""
        return self._current

    def find(self, name: str) -> Profile | None:
        return self._current.get(name)

    def model_of(self, name: str) -> str:
        """The id of the model that answers to a profile's name; any other name is a model's own."""
        profile = self.find(name)
        return profile.model if profile else name

    def on_change(self, subscriber: Callable[[], object]) -> None:
        """Call `subscriber` after every change, once it is stored and visible here."""
        self._subscribers.append(subscriber)

    def pinned_models(self) -> frozenset[str]:
        return frozenset(profile.model for profile in self._current.values() if profile.pinned)

    def idle_seconds(self) -> Mapping[str, float]:
        """Seconds each model may idle, the longest that its profiles set; 0 means for ever."""
        chosen: dict[str, list[float]] = {}
        for profile in self._current.values():
            if profile.idle_minutes is not None:
                chosen.setdefault(profile.model, []).append(profile.idle_minutes * 60)
        return {model: 0.0 if 0 in times else max(times) for model, times in chosen.items()}

    def create(self, raw: Mapping[str, object]) -> Profile:
        """Add a profile. Raises InvalidFields or Conflict, and then nothing has changed."""
        with self._changing:
            profile = self._checked(raw, created=int(time.time()))
            self._refuse_taken(profile.name)
            self._store.save(_to_save(profile))
            self._keep({**self._current, profile.name: profile})
        self._tell()
        return profile

    def replace(self, name: str, raw: Mapping[str, object]) -> Profile:
        """Replace all fields of a profile but `created` with those in `raw`; another name there renames it."""
        with self._changing:
            before = self._existing(name)
            named = {**raw, "name": name} if TABLE["name"].is_blank(raw.get("name")) else raw
            profile = self._checked(named, before.created)
            if profile.name != name:
                self._refuse_taken(profile.name)
            self._store.save(_to_save(profile), instead_of=name)
            others = {key: value for key, value in self._current.items() if key != name}
            self._keep({**others, profile.name: profile})
        self._tell()
        return profile

    def delete(self, name: str) -> Profile:
        with self._changing:
            profile = self._existing(name)
            self._store.delete(name)
            self._keep({key: value for key, value in self._current.items() if key != name})
        self._tell()
        return profile

    def _existing(self, name: str) -> Profile:
        profile = self.find(name)
        if profile is None:
            raise ProfileNotFound(name)
        return profile

    def _checked(self, raw: Mapping[str, object], created: int) -> Profile:
        parsed = parse_all(TABLE, raw, UNKNOWN)
        parsed.checked(self._model_errors(parsed.given))
        return Profile(**parsed.given, created=created)

    def _model_errors(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The fields whose values do not fit the named model, each with its error."""
        if "model" not in values:
            return {}
        try:
            model = self._catalog.find(values["model"])
        except ModelNotFound as error:
            if values["model"] in self._current:
                return {"model": f"'{values['model']}' is a profile itself; choose an installed model."}
            return {"model": str(error)}
        if values.get("context_length", 0) > model.context_length:
            return {
                "context_length": f"Context limit must be at most {model.context_length:,}, which {model.id} holds."
            }
        return {}

    def _refuse_taken(self, name: str) -> None:
        if name in self._current:
            raise Conflict(f"There is a profile '{name}' already.", "name", "name_taken")
        if any(model.id == name for model in self._catalog.models()):
            raise Conflict(f"'{name}' is the name of an installed model.", "name", "name_taken")

    def _keep(self, profiles: Mapping[str, Profile]) -> None:
        ordered = sorted(profiles.items(), key=lambda item: (item[0].casefold(), item[0]))
        self._current: Mapping[str, Profile] = MappingProxyType(dict(ordered))

    def _tell(self) -> None:
        for subscriber in self._subscribers:
            subscriber()


def _still_valid(saved: SavedProfile) -> Profile:
    """The stored profile; values that no longer pass the checks, as after new limits, count as not set."""
    parsed = parse_all(OPTIONAL, saved.choices, UNKNOWN)
    for name, error in parsed.errors.items():
        log.warning("in the profile %s, %s is not used: %s", saved.name, name, error)
    return Profile(**{**parsed.given, "name": saved.name, "model": saved.model, "created": saved.created})


def _to_save(profile: Profile) -> SavedProfile:
    return SavedProfile(profile.name, profile.model, profile.choices, profile.created)
