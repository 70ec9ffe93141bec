"""The way into the machine room: MLX is imported in the background, so that pages are up first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from webapp.engine import blas
from webapp.engine.pool.memory import machine_bytes
from webapp.engine.runner import Loading
from webapp.generation import InstalledModel

if TYPE_CHECKING:
    from webapp.engine.mlx.loading import MlxLoader
    from webapp.engine.mlx.prompts.tokenizer import Tokenizer, Tokenizers


class Backend:
    """MLX and its tokenizers, once they are needed. Also the engine's Loader. Thread-safe."""

    def __init__(self, blas_folder: Path | None = None) -> None:
        """`blas_folder`: where a BLAS may be put at the first start; with None none is."""
        self._blas_folder = blas_folder
        self._lock = threading.Lock()
        self._loader: MlxLoader | None = None
        self._tokenizers: Tokenizers | None = None
        self._memory_bytes = machine_bytes()
        self.device = "starting"
        self.blas = "starting"

    def start(self) -> None:
        """Import everything now, on a thread of its own."""
        threading.Thread(target=self._open, name="import-mlx", daemon=True).start()

    def wait(self, patience_seconds: float) -> None:
        """Until MLX is here. Raises what importing it raised, and TimeoutError."""
        opening = ThreadPoolExecutor(1, "wait-mlx")
        try:
            opening.submit(self._open).result(patience_seconds)
        finally:
            opening.shutdown(wait=False)

    def _open(self) -> tuple[MlxLoader, Tokenizers]:
        with self._lock:
            if self._loader is None or self._tokenizers is None:
                self.blas = blas.load(self._blas_folder)
                self.device = import_module("webapp.engine.mlx.device").name()
                self._memory_bytes = import_module("webapp.engine.mlx.device").memory_bytes()
                self._loader = import_module("webapp.engine.mlx.loading").MlxLoader()
                self._tokenizers = import_module("webapp.engine.mlx.prompts.tokenizer").Tokenizers()
            return self._loader, self._tokenizers

    def tokenizer(self, model: InstalledModel) -> Tokenizer:
        """The model's tokenizer, read on the caller's thread the first time. Raises ModelLoadFailed."""
        return self._open()[1].of(model)

    def memory_bytes(self) -> int:
        """Memory for models; until MLX is here and knows its device, the machine's."""
        return self._memory_bytes

    def estimate_bytes(self, model: InstalledModel) -> int:
        return self._open()[0].estimate_bytes(model)

    def open(self, model: InstalledModel) -> Loading:
        return self._open()[0].open(model)
