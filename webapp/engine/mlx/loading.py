"""Loads a model folder into a runner, a slice at a time so that other models keep answering."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import dequantize_model, load_model, maybe_set_recommended_wired_limit

from webapp.engine.cache_budget import CacheBudget
from webapp.engine.mlx import device
from webapp.engine.mlx.batch import MlxRunner
from webapp.engine.mlx.cache.prefix_cache import PrefixCache
from webapp.engine.mlx.config import check_config, read_config
from webapp.engine.mlx.embedder import pooling_of
from webapp.engine.mlx.estimate import float32_bytes, stored_bytes
from webapp.engine.mlx.kv import KvSize
from webapp.errors import ModelLoadFailed
from webapp.generation import InstalledModel

SLICE_SECONDS = 0.05


class MlxLoader:
    """Opens model folders for the pool."""

    def __init__(self) -> None:
        # mlx-lm (0.32) sets this with each batch, and back to what it was when one goes, though others still run.
        maybe_set_recommended_wired_limit()
        self._always_cuts: dict[Path, tuple[str, bool]] = {}  # with the version that was loaded

    def memory_bytes(self) -> int:
        return device.memory_bytes()

    def estimate_bytes(self, model: InstalledModel) -> int:
        """Memory that loading takes at its peak; on the CPU weights become float32, see MlxLoading."""
        return float32_bytes(model.path) if device.on_cpu() else stored_bytes(model.path)

    def open(self, model: InstalledModel, caches: CacheBudget) -> MlxLoading:
        return MlxLoading(model, caches, lambda kv_size: self._learn(model, kv_size))

    def wants_checkpoints(self, model: InstalledModel) -> bool:
        """Whether the model's prompts need checkpoints: False only if its KV can always be cut back.

        Any thread may call it. True until a first load has shown what the KV is like.
        """
        return self._always_cuts.get(model.path) != (model.version, True)

    def _learn(self, model: InstalledModel, kv_size: KvSize) -> None:
        self._always_cuts[model.path] = (model.version, kv_size.always_cuts)


class MlxLoading:
    """One load. On the CPU weights become float32, the only type its BLAS is fast at."""

    def __init__(
        self,
        model: InstalledModel,
        caches: CacheBudget,
        on_kv_size: Callable[[KvSize], None] = lambda kv_size: None,
        slice_seconds: float = SLICE_SECONDS,
    ):
        """`on_kv_size` is called once the model has shown what its KV is like."""
        self._slices = load_in_slices(model, caches, on_kv_size, slice_seconds)

    def advance(self) -> MlxRunner | None:
        return next(self._slices)

    def close(self) -> None:
        self._slices.close()
        device.release_memory()


def load_in_slices(
    model: InstalledModel, caches: CacheBudget, on_kv_size: Callable[[KvSize], None], slice_seconds: float
) -> Generator[MlxRunner | None, None, None]:
    """Load a model in slices. As a method, the generator would hold the weights until garbage collection."""
    config = read_config(model.path)
    check_config(config)
    yield None
    network, _ = load_model(model.path, lazy=True, trust_remote_code=False)
    network.eval()
    if device.on_cpu():
        network = to_float32(dequantize_model(network))
    yield None
    check_batching(network)
    yield from evaluate(network, slice_seconds)
    weights_bytes = sum(array.nbytes for _, array in tree_flatten(network.parameters()))
    kv_size = KvSize(network)
    on_kv_size(kv_size)
    mx.clear_cache()
    yield MlxRunner(network, weights_bytes, kv_size, pooling_of(model.path), PrefixCache(caches))


def evaluate(network: nn.Module, slice_seconds: float) -> Iterator[None]:
    """Read the weights, as many at a time as fit into a slice."""
    started = time.perf_counter()
    for _, array in tree_flatten(network.parameters()):
        mx.eval(array)
        if time.perf_counter() - started > slice_seconds:
            yield None
            started = time.perf_counter()


def to_float32(network: nn.Module) -> nn.Module:
    """Half-precision weights, read when they are evaluated, as float32."""

    def widen(array: mx.array) -> mx.array:
        return array.astype(mx.float32) if array.dtype in (mx.bfloat16, mx.float16) else array

    network.update(tree_map(widen, network.parameters()))
    return network


def check_batching(network: nn.Module) -> None:
    unmergeable = [type(layer).__name__ for layer in make_prompt_cache(network) if not hasattr(layer, "merge")]
    if unmergeable:
        raise ModelLoadFailed(f"Models with a {unmergeable[0]} cannot be batched and are not supported.")
