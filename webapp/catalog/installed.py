"""The installed models: the bundled one, the Hugging Face cache's, and every models folder's."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from pathlib import Path

from webapp.catalog.folders import cached_models, model_folders, read_model
from webapp.errors import ModelNotFound
from webapp.generation import InstalledModel

FRESH_SECONDS = 2.0


def hub_cache(environ: Mapping[str, str]) -> Path:
    """The Hugging Face cache folder, by its own variables."""
    if cache := environ.get("HF_HUB_CACHE"):
        return Path(cache)
    home = environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(home) / "hub"


class Catalog:
    """Looks at the disk at most every two seconds. Thread-safe: a look replaces the whole list."""

    def __init__(self, bundled: Path, models_dirs: Seq[Path], environ: Mapping[str, str] = os.environ):
        self._bundled = bundled
        self._models_dirs = tuple(models_dirs)
        self._hub_cache = hub_cache(environ)
        self._models: tuple[InstalledModel, ...] = ()
        self._looked = float("-inf")

    def models(self) -> tuple[InstalledModel, ...]:
        """All installed models, the bundled ones last; the first folder to use an id has it."""
        if time.monotonic() - self._looked > FRESH_SECONDS:
            self._models = self._look()
            self._looked = time.monotonic()
        return self._models

    def find(self, model_id: str) -> InstalledModel:
        """Raises ModelNotFound, which names what is installed."""
        for model in self.models():
            if model.id == model_id:
                return model
        raise ModelNotFound(model_id, tuple(model.id for model in self.models()))

    @property
    def default(self) -> InstalledModel:
        """What a new chat is offered: an installed model before the bundled guide."""
        models = self.models()
        if not models:
            raise ModelNotFound("", ())
        return models[0]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where models are looked for, besides the bundled ones."""
        return (*self._models_dirs, self._hub_cache)

    def _look(self) -> tuple[InstalledModel, ...]:
        found: dict[str, InstalledModel] = {}
        for folder in self._models_dirs:
            for model_id, path in model_folders(folder):
                found.setdefault(model_id, read_model(model_id, path, bundled=False))
        for model_id, path in cached_models(self._hub_cache):
            found.setdefault(model_id, read_model(model_id, path, bundled=False))
        for model_id, path in model_folders(self._bundled):
            found.setdefault(model_id, read_model(model_id, path, bundled=True))
        return tuple(found.values())
