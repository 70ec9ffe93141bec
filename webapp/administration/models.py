"""The desk for installed models: loading and unloading them by hand, and at the start."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import Future

from webapp.administration.act import audited
from webapp.audit.log import AuditLog
from webapp.catalog.installed import Catalog
from webapp.engine.engine import Engine
from webapp.errors import HearthError

log = logging.getLogger(__name__)

OBEYING_SECONDS = 5.0
# The `who` of the audit for models that Hearth loads at its start.
AT_START = "start"


class ModelDesk:
    def __init__(self, catalog: Catalog, engine: Engine, audit: AuditLog):
        self._catalog = catalog
        self._engine = engine
        self._audit = audit

    def load(self, who: str, model_id: str) -> Future[None]:
        """Load a model when there is room; the future raises the error of a failed load. Raises ModelNotFound."""
        done = self._engine.load(self._catalog.find(model_id))
        done.add_done_callback(lambda done: self._audit_load(who, model_id, done.exception()))
        return done

    def unload(self, who: str, model_id: str, patience_seconds: float = OBEYING_SECONDS) -> str:
        """Unload a model, a busy one after its requests; returns words on it. Raises Conflict and ModelNotFound."""
        with audited(self._audit, who, "models.unload", model_id):
            effect = self._engine.unload(self._catalog.find(model_id).id)
            try:
                return effect.result(patience_seconds)
            except TimeoutError:
                return "The engine is in the middle of a step and obeys after it."

    def preload(self, model_ids: Iterable[str]) -> None:
        """Begin to load these models at the start; logs a warning for each that is missing."""
        for model_id in model_ids:
            try:
                self.load(AT_START, model_id)
            except HearthError as error:
                log.warning("cannot preload %s: %s", model_id, error)

    def _audit_load(self, who: str, model_id: str, error: BaseException | None) -> None:
        code = error.code if isinstance(error, HearthError) else None
        self._audit.admin(who, "models.load", model_id, status="error" if error else "ok", code=code)
