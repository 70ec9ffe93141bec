"""What people change while Hearth runs: settings, loaded models, profiles.

Each act is checked, done, told in words and kept as a row of the audit, refused ones too. Pages and API call the same
methods, saying `who` acts. Knows no HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from webapp.addresses import is_loopback
from webapp.audit.log import AuditLog
from webapp.catalog.installed import Catalog
from webapp.engine.engine import Engine
from webapp.errors import Conflict, HearthError, ModelNotFound
from webapp.people.keys import Key, Keys
from webapp.routing.profiles import Profile, Profiles
from webapp.settings.layers import InvalidSettings, LayeredSettings
from webapp.settings.table import table

log = logging.getLogger(__name__)

OBEYING_SECONDS = 5.0
LISTS_OF_MODELS = ("pinned", "preload")
AT_START = "start"
NEEDS_A_KEY = (
    "Address {host} is reached from other machines, and there is no admin key yet to keep them out. "
    "Make one first, with `hearth key create NAME --scope admin` or on the page Connect."
)
LAST_ADMIN = (
    "'{name}' is the last admin key, and Hearth listens where nobody gets in without one. "
    "Make another first, or let it listen on 127.0.0.1 alone."
)


@dataclass(slots=True)
class Change:
    """What an act changes, for its row in the audit."""

    before: object = None
    after: object = None


class KeyAdministration:
    """API keys; a room of its own, as the command line makes keys without a server. `exposed`: others reach Hearth."""

    def __init__(self, keys: Keys, audit: AuditLog, exposed: bool):
        self._keys = keys
        self._audit = audit
        self._exposed = exposed

    def create(self, who: str, values: Mapping[str, object]) -> tuple[Key, str]:
        """A new key and its secret. Raises InvalidFields and Conflict."""
        with kept(self._audit, who, "keys.create", _name_in(values)) as change:
            key, secret = self._keys.create(values)
            change.after = _told_key(key)
        return key, secret

    def revoke(self, who: str, name: str) -> Key:
        """Nobody is let in with it from now on. Raises KeyNotFound, and Conflict for the last one to sign in with."""
        with kept(self._audit, who, "keys.revoke", name[:100]) as change:
            if self._exposed and self._keys.is_last_admin(name):
                raise Conflict(LAST_ADMIN.format(name=name), "name", "last_admin_key")
            key = self._keys.revoke(name)
            change.before = _told_key(key)
        return key

    def check_host(self, host: str) -> None:
        """Beyond this machine Hearth listens only when somebody could sign in there. Raises InvalidSettings."""
        if not is_loopback(host) and not self._keys.has_admin:
            raise InvalidSettings({"host": NEEDS_A_KEY.format(host=host)})


class Administration:
    def __init__(
        self,
        settings: LayeredSettings,
        catalog: Catalog,
        engine: Engine,
        profiles: Profiles,
        keys: KeyAdministration,
        audit: AuditLog,
    ):
        self.keys = keys
        self._settings = settings
        self._catalog = catalog
        self._engine = engine
        self._profiles = profiles
        self._audit = audit

    # Settings

    def save_settings(self, who: str, values: Mapping[str, object]) -> list[str]:
        """Save all or nothing; the effects in words. Raises InvalidSettings."""
        names = [name for name in values if name in table()]
        with kept(self._audit, who, "settings.save", ", ".join(names)) as change:
            change.before = self._current(names)
            self._check_models(values)
            self._check_host(values)
            effects = self._settings.save(values)
            change.after = self._current(names)
        return effects

    def _current(self, names: list[str]) -> dict[str, object]:
        return {name: getattr(self._settings.current, name) for name in names}

    def _check_host(self, values: Mapping[str, object]) -> None:
        default, rule = table()["host"]
        try:
            self.keys.check_host(str(rule.parse(values.get("host") or default)))
        except ValueError:
            return  # saving says what is wrong

    def _check_models(self, values: Mapping[str, object]) -> None:
        """A model that is named anew must be installed; one that is gone since may stay."""
        errors = {}
        rules = table()
        for name in LISTS_OF_MODELS:
            try:
                named = cast(tuple[str, ...], rules[name][1].parse(values.get(name) or ()))
            except ValueError:
                continue  # saving says what is wrong
            for model_id in set(named) - set(getattr(self._settings.current, name)):
                try:
                    self._catalog.find(model_id)
                except ModelNotFound as error:
                    errors[name] = str(error)
        if errors:
            raise InvalidSettings(errors)

    def pin(self, who: str, model_id: str, pinned: bool) -> list[str]:
        """Keep a model from being evicted, or no longer. Raises ModelNotFound."""
        kept = [name for name in self._settings.current.pinned if name != model_id]
        if pinned:
            kept.append(self._catalog.find(model_id).id)
        return self.save_settings(who, {"pinned": kept})

    # Models

    def load(self, who: str, model_id: str) -> Future[None]:
        """Load a model when there is room; the future raises why it could not be. Raises ModelNotFound."""
        done = self._engine.load(self._catalog.find(model_id))
        done.add_done_callback(lambda done: self._keep_load(who, model_id, done.exception()))
        return done

    def _keep_load(self, who: str, model_id: str, error: BaseException | None) -> None:
        code = error.code if isinstance(error, HearthError) else None
        self._audit.admin(who, "models.load", model_id, status="error" if error else "ok", code=code)

    def unload(self, who: str, model_id: str, patience_seconds: float = OBEYING_SECONDS) -> str:
        """Unload a model, a busy one after its requests; says what happens. Raises Conflict and ModelNotFound."""
        with kept(self._audit, who, "models.unload", model_id):
            effect = self._engine.unload(self._catalog.find(model_id).id)
            try:
                return effect.result(patience_seconds)
            except TimeoutError:
                return "The engine is in the middle of a step and obeys after it."

    def preload(self) -> None:
        """Ask for the models that are to be loaded at the start; a missing one is no reason not to start."""
        for model_id in self._settings.current.preload:
            try:
                self.load(AT_START, model_id)
            except HearthError as error:
                log.warning("cannot preload %s: %s", model_id, error)

    # Profiles

    def create_profile(self, who: str, values: Mapping[str, object]) -> Profile:
        with kept(self._audit, who, "profiles.create", _name_in(values)) as change:
            profile = self._profiles.create(values)
            change.after = _told(profile)
        return profile

    def replace_profile(self, who: str, name: str, values: Mapping[str, object]) -> Profile:
        with kept(self._audit, who, "profiles.replace", name) as change:
            before = self._profiles.find(name)
            change.before = before and _told(before)
            profile = self._profiles.replace(name, values)
            change.after = _told(profile)
        return profile

    def delete_profile(self, who: str, name: str) -> Profile:
        with kept(self._audit, who, "profiles.delete", name) as change:
            profile = self._profiles.delete(name)
            change.before = _told(profile)
        return profile


@contextmanager
def kept(audit: AuditLog, who: str, action: str, target: str) -> Iterator[Change]:
    """Whatever becomes of an act, the audit has it."""
    change = Change()
    try:
        yield change
    except HearthError as error:
        audit.admin(who, action, target, change.before, status="refused", code=error.code)
        raise
    audit.admin(who, action, target, change.before, change.after)


def _told(profile: Profile) -> dict[str, object]:
    return {"name": profile.name, "model": profile.model, **profile.choices}


def _told_key(key: Key) -> dict[str, object]:
    return {"name": key.name, "scope": key.scope, "models": key.models, "expires": key.expires}


def _name_in(values: Mapping[str, object]) -> str:
    """The name that a body gives, whatever it is."""
    return str(values.get("name", ""))[:100]
