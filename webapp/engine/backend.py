"""The way into the machine room: MLX is imported in the background, so that pages are up first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path

from webapp.engine import blas
from webapp.engine.cache_budget import CacheBudget
from webapp.engine.client.prepared import Tokenizer
from webapp.engine.memory import machine_bytes
from webapp.engine.runner import Loader, Loading
from webapp.generation import InstalledModel

TokenizerOf = Callable[[InstalledModel], Tokenizer]


class Backend:
    """Gives access to MLX and its tokenizers, imported when first needed. Also the engine's Loader. Thread-safe."""

    def __init__(self, blas_folder: Path | None = None) -> None:
        """`blas_folder`: the folder that the first start may write a BLAS into; with None it writes none."""
        self._blas_folder = blas_folder
        self._lock = threading.Lock()
        self._opened: tuple[Loader, TokenizerOf] | None = None
        self._memory_bytes = machine_bytes()
        self.device = "starting"
        self.blas = "starting"

    def start(self) -> None:
        """Import everything now, on a thread of its own."""
        threading.Thread(target=self._open, name="import-mlx", daemon=True).start()

    def wait(self, patience_seconds: float) -> None:
        """Wait until MLX is imported. Raises the error of a failed import, or TimeoutError."""
        opening = ThreadPoolExecutor(1, "wait-mlx")
        try:
            opening.submit(self._open).result(patience_seconds)
        finally:
            opening.shutdown(wait=False)

    def _open(self) -> tuple[Loader, TokenizerOf]:
        with self._lock:
            if self._opened is None:
                self.blas = blas.load(self._blas_folder)
                self.device = import_module("webapp.engine.mlx.device").name()
                self._memory_bytes = import_module("webapp.engine.mlx.device").memory_bytes()
                loader = import_module("webapp.engine.mlx.loading").MlxLoader()
                prompts = import_module("webapp.engine.mlx.prompts.tokenizers")
                read = partial(prompts.read_tokenizer, wants_checkpoints=loader.wants_checkpoints)
                self._opened = loader, prompts.Tokenizers(read).of
            return self._opened

    def tokenizer(self, model: InstalledModel) -> Tokenizer:
        """The model's tokenizer, read on the caller's thread the first time. Raises ModelLoadFailed."""
        return self._open()[1](model)

    def memory_bytes(self) -> int:
        """Memory of the device that computes, in bytes; until MLX is imported, the machine's memory."""
        return self._memory_bytes

    def estimate_bytes(self, model: InstalledModel) -> int:
        return self._open()[0].estimate_bytes(model)

    def open(self, model: InstalledModel, caches: CacheBudget) -> Loading:
        return self._open()[0].open(model, caches)
