"""What people change while Hearth runs: settings and loaded models. Each change is checked, done and told in words.

Pages and API call the same methods. Knows no HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import cast

from webapp.catalog.catalog import Catalog
from webapp.engine.engine import Engine
from webapp.errors import HearthError, ModelNotFound
from webapp.settings import InvalidSettings, LayeredSettings, table

log = logging.getLogger(__name__)

OBEYING_SECONDS = 5.0
LISTS_OF_MODELS = ("pinned", "preload")


class Administration:
    def __init__(self, settings: LayeredSettings, catalog: Catalog, engine: Engine):
        self._settings = settings
        self._catalog = catalog
        self._engine = engine

    def save_settings(self, values: Mapping[str, object]) -> list[str]:
        """Save all or nothing; the effects in words. Raises InvalidSettings."""
        self._check_models(values)
        return self._settings.save(values)

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

    def pin(self, model_id: str, pinned: bool) -> list[str]:
        """Keep a model from being evicted, or no longer. Raises ModelNotFound."""
        kept = [name for name in self._settings.current.pinned if name != model_id]
        if pinned:
            kept.append(self._catalog.find(model_id).id)
        return self._settings.save({"pinned": kept})

    def load(self, model_id: str) -> Future[None]:
        """Load a model when there is room; the future raises why it could not be. Raises ModelNotFound."""
        return self._engine.load(self._catalog.find(model_id))

    def unload(self, model_id: str) -> str:
        """Unload a model, a busy one after its requests; says what happens. Raises Conflict and ModelNotFound."""
        return self._engine.unload(self._catalog.find(model_id).id).result(OBEYING_SECONDS)

    def preload(self) -> None:
        """Ask for the models that are to be loaded at the start; a missing one is no reason not to start."""
        for model_id in self._settings.current.preload:
            try:
                self.load(model_id)
            except HearthError as error:
                log.warning("cannot preload %s: %s", model_id, error)
