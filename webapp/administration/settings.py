"""The desk for settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from webapp.administration.act import audited
from webapp.administration.keys import KeyDesk
from webapp.audit.log import AuditLog
from webapp.catalog.installed import Catalog
from webapp.errors import InvalidFields, ModelNotFound
from webapp.settings.layers import LayeredSettings
from webapp.settings.table import Settings, table

LISTS_OF_MODELS = ("pinned", "preload")


class SettingsDesk:
    def __init__(self, settings: LayeredSettings, catalog: Catalog, keys: KeyDesk, audit: AuditLog):
        self._settings = settings
        self._catalog = catalog
        self._keys = keys
        self._audit = audit

    def save(self, who: str, raw: Mapping[str, object]) -> list[str]:
        """Save all values or none; returns the effects in words. Raises InvalidFields."""
        with self._audited(who, [name for name in raw if name in table()]):
            return self._settings.save(raw, self._check)

    def pin(self, who: str, model_id: str, pinned: bool) -> list[str]:
        """Pin a model, so that it is never evicted, or unpin it; returns the effects in words. Raises ModelNotFound."""
        model = self._catalog.find(model_id).id if pinned else model_id

        def chosen(current: Settings) -> dict[str, tuple[str, ...]]:
            others = tuple(name for name in current.pinned if name != model)
            return {"pinned": (*others, model) if pinned else others}

        with self._audited(who, ["pinned"]):
            return self._settings.change(chosen)

    @contextmanager
    def _audited(self, who: str, names: list[str]) -> Iterator[None]:
        with audited(self._audit, who, "settings.save", ", ".join(names)) as change:
            change.before = self._current(names)
            yield
            change.after = self._current(names)

    def _current(self, names: list[str]) -> dict[str, object]:
        return {name: getattr(self._settings.current, name) for name in names}

    def _check(self, values: Mapping[str, Any], current: Settings) -> dict[str, str]:
        """Error messages by setting. A model newly listed must be installed; one listed before may be missing."""
        errors: dict[str, str] = {}
        for name in LISTS_OF_MODELS:
            try:
                for model_id in values.get(name) or ():
                    if model_id not in getattr(current, name):
                        self._catalog.find(model_id)
            except ModelNotFound as error:
                errors[name] = str(error)
        try:
            if host := values.get("host"):
                self._keys.check_host(host)
        except InvalidFields as error:
            errors |= error.errors
        return errors
