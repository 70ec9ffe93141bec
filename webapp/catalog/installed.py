"""The installed models: the bundled one, the Hugging Face cache's, and every models folder's."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from pathlib import Path

from webapp.catalog.folders import cached_models, model_folders, read_model, version_of
from webapp.errors import ModelNotFound
from webapp.generation import InstalledModel

# A new model is seen within five seconds.
LOOK_SECONDS = 4.0
# A request for an unknown name wakes the thread; looks begin at least this far apart.
SHORTEST_SECONDS = 0.25
PATIENCE_SECONDS = 5.0


def hub_cache(environ: Mapping[str, str]) -> Path:
    """The Hugging Face cache folder, by its own variables."""
    if cache := environ.get("HF_HUB_CACHE"):
        return Path(cache)
    home = environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(home) / "hub"


class Catalog:
    """All installed models, as the disk was when it was last looked at. Thread-safe: a look replaces the whole list.

    Once started, a thread of its own looks every few seconds, and at once when a request names an unknown model;
    requests read what it found last. Without that thread, as on the command line, each call looks at the disk itself.
    """

    def __init__(
        self,
        bundled: Path,
        models_dirs: Seq[Path],
        environ: Mapping[str, str] = os.environ,
        look_seconds: float = LOOK_SECONDS,
    ):
        self._bundled = bundled
        self._models_dirs = tuple(models_dirs)
        self._hub_cache = hub_cache(environ)
        self._look_seconds = look_seconds
        self._models: tuple[InstalledModel, ...] = ()
        self._described: dict[Path, InstalledModel] = {}
        self._looks = 0
        self._state = threading.Condition()
        self._wanted = self._looking = self._closed = False
        self._thread = threading.Thread(target=self._keep_looking, name="catalog", daemon=True)

    def start(self) -> None:
        """Start the thread that looks at the disk."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        with self._state:
            self._closed = True
            self._state.notify_all()

    def models(self) -> tuple[InstalledModel, ...]:
        """All installed models, the bundled ones last. When two folders share an id, the first one counts."""
        if not self._thread.is_alive():
            return self._look()
        if self._looks == 0:
            self._await_look()
        return self._models

    def find(self, model_id: str) -> InstalledModel:
        """The model of this id, even one installed a moment ago. Raises ModelNotFound, which names all installed."""
        found = _named(model_id, self.models())
        if found is None and self._thread.is_alive():
            self._await_look()
            found = _named(model_id, self._models)
        if found is None:
            raise ModelNotFound(model_id, tuple(model.id for model in self._models))
        return found

    @property
    def default(self) -> InstalledModel:
        """The model that a new chat begins with: an installed model if there is one, else the bundled guide."""
        models = self.models()
        if not models:
            raise ModelNotFound("", ())
        return models[0]

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are searched for models, besides the bundled ones."""
        return (*self._models_dirs, self._hub_cache)

    def _await_look(self) -> None:
        """Wait until a look that begins after this call has ended, at most PATIENCE_SECONDS."""
        with self._state:
            # A look that is under way may already have passed the new model.
            enough = self._looks + (2 if self._looking else 1)
            self._wanted = True
            self._state.notify_all()
            self._state.wait_for(lambda: self._closed or self._looks >= enough, PATIENCE_SECONDS)

    def _keep_looking(self) -> None:
        while not self._closed:
            began = time.monotonic()
            with self._state:
                self._wanted, self._looking = False, True
            self._look()
            with self._state:
                self._looks += 1
                self._looking = False
                self._state.notify_all()
                self._state.wait_for(lambda: self._closed, max(0.0, began + SHORTEST_SECONDS - time.monotonic()))
                left = began + self._look_seconds - time.monotonic()
                self._state.wait_for(lambda: self._closed or self._wanted, max(0.0, left))

    def _look(self) -> tuple[InstalledModel, ...]:
        found: dict[str, InstalledModel] = {}
        for model_id, path, bundled in self._folders():
            if model_id not in found:
                found[model_id] = self._describe(model_id, path, bundled)
        paths = {model.path for model in found.values()}
        self._described = {path: known for path, known in self._described.items() if path in paths}
        self._models = tuple(found.values())
        return self._models

    def _folders(self) -> Iterator[tuple[str, Path, bool]]:
        """Ids and folders, and whether they are bundled."""
        for folder in self._models_dirs:
            yield from ((model_id, path, False) for model_id, path in model_folders(folder))
        yield from ((model_id, path, False) for model_id, path in cached_models(self._hub_cache))
        yield from ((model_id, path, True) for model_id, path in model_folders(self._bundled))

    def _describe(self, model_id: str, path: Path, bundled: bool) -> InstalledModel:
        """Describe a model; its files are read again only when one of them has changed since the last look."""
        known = self._described.get(path)
        if known is None or known.id != model_id or known.version != version_of(path):
            known = self._described[path] = read_model(model_id, path, bundled)
        return known


def _named(model_id: str, models: Seq[InstalledModel]) -> InstalledModel | None:
    return next((model for model in models if model.id == model_id), None)
