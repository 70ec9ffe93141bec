"""The tokenizers of installed models: read at first use, and the most recent few cached."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import transformers

from webapp.engine.mlx.config import eos_ids, read_config
from webapp.engine.mlx.prompts.once import Once
from webapp.engine.mlx.prompts.tokenizer import MlxTokenizer
from webapp.errors import ModelLoadFailed
from webapp.generation import InstalledModel

# A big vocabulary takes some 100 MB. An evicted tokenizer lives on as long as a request holds it.
MOST_KEPT = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """One tokenizer, read or on its way, of a model folder as it was in one `version`."""

    version: str
    tokenizer: Once[MlxTokenizer]


class Tokenizers:
    """Caches `most` tokenizers and evicts the least recently used. Thread-safe: reading one holds up no other."""

    def __init__(self, read: Callable[[InstalledModel], MlxTokenizer], most: int = MOST_KEPT):
        # Transformers warns about every prompt above the context, which Hearth refuses by name.
        transformers.logging.set_verbosity_error()
        self._read = read
        self._most = most
        self._kept: OrderedDict[Path, Reading] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, model: InstalledModel) -> MlxTokenizer:
        """The model's tokenizer. Raises ModelLoadFailed; the next call then reads again."""
        return self._reading(model).tokenizer.get()

    def _reading(self, model: InstalledModel) -> Reading:
        """The reading of the model's edition; an older edition's in the same folder is dropped."""
        with self._lock:
            reading = self._kept.get(model.path)
            if reading is None or reading.version != model.version:
                reading = self._kept[model.path] = Reading(model.version, Once(partial(self._read, model)))
            self._kept.move_to_end(model.path)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return reading


def read_tokenizer(model: InstalledModel, wants_checkpoints: Callable[[InstalledModel], bool]) -> MlxTokenizer:
    """Read the tokenizer from the model's folder. Raises ModelLoadFailed."""
    try:
        ends = eos_ids(model.path, read_config(model.path))
        return MlxTokenizer.load(model.path, ends, wants_checkpoints=lambda: wants_checkpoints(model))
    except Exception as error:
        raise ModelLoadFailed(f"The tokenizer of '{model.id}' cannot be read: {error}") from error
