from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm import convert

from tests.engine.mlx.conftest import answer, sequence
from tiny_models import make_model
from webapp.catalog.folders import read_model
from webapp.engine.backend import Backend
from webapp.engine.cache_budget import CacheBudget
from webapp.engine.mlx import device
from webapp.engine.mlx.batch import MlxRunner
from webapp.engine.mlx.loading import MlxLoading
from webapp.errors import ModelLoadFailed
from webapp.generation import InstalledModel


def load(backend: Backend, model: InstalledModel) -> MlxRunner:
    loading = backend.open(model, CacheBudget(1 << 30))
    while True:
        runner = loading.advance()
        if isinstance(runner, MlxRunner):
            return runner


def dtypes(runner: MlxRunner) -> set[mx.Dtype]:
    return {array.dtype for _, array in tree_flatten(runner._model.parameters())}


@pytest.mark.skipif(not device.on_cpu(), reason="weights keep their type on a GPU")
def test_on_the_cpu_weights_are_float32_and_the_estimate_says_so(tmp_path: Path, backend: Backend) -> None:
    make_model(tmp_path / "half", "qwen3", "nano", dtype="bfloat16")
    model = read_model("half", tmp_path / "half", bundled=False)
    runner = load(backend, model)
    assert dtypes(runner) == {mx.float32}
    assert runner.weights_bytes == pytest.approx(backend.estimate_bytes(model), rel=0.15)


@pytest.mark.skipif(not device.on_cpu(), reason="quantised weights stay as they are on a GPU")
def test_quantised_weights_are_unpacked_on_the_cpu(tmp_path: Path, models_dir: Path, backend: Backend) -> None:
    make_model(tmp_path / "whole", "qwen3", "tiny")
    convert(str(tmp_path / "whole"), str(tmp_path / "packed"), quantize=True, q_bits=4, q_group_size=32)
    model = read_model("packed", tmp_path / "packed", bundled=False)
    runner = load(backend, model)
    assert dtypes(runner) == {mx.float32}
    assert len(answer(runner, sequence(model, (5, 6, 7)))[0]) == 24


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_file": "evil.py"}, "never runs code"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers"),
        ({"vocab_size": -1}, "vocab_size"),
    ],
)
def test_a_config_from_a_stranger_is_read_with_suspicion(
    tmp_path: Path, models_dir: Path, backend: Backend, change: dict[str, object], reason: str
) -> None:
    model = copied(models_dir, tmp_path, change)
    with pytest.raises(ModelLoadFailed, match=reason):
        load(backend, model)


def test_an_unknown_architecture_says_so(tmp_path: Path, models_dir: Path, backend: Backend) -> None:
    with pytest.raises(ValueError, match="not supported"):
        load(backend, copied(models_dir, tmp_path, {"model_type": "abacus"}))


def copied(models_dir: Path, tmp_path: Path, change: dict[str, object]) -> InstalledModel:
    """A copy of the tiny model with another config.json."""
    folder = tmp_path / "copy"
    shutil.copytree(next(models_dir.glob("*/*")), folder)
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    return read_model("copy", folder, bundled=False)


@pytest.mark.parametrize("architecture", ["gemma3_text", "mamba2", "lfm2"])
def test_sliding_and_stateful_models_answer_in_a_batch_and_from_the_cache(
    tmp_path: Path, backend: Backend, architecture: str
) -> None:
    make_model(tmp_path / architecture, architecture, "nano", seed=3)
    model = read_model(architecture, tmp_path / architecture, bundled=False)
    prompts = [tuple(range(20 + i, 50 + 9 * i)) for i in range(5)]
    alone = [answer(load(backend, model), sequence(model, prompt))[0] for prompt in prompts]
    runner = load(backend, model)
    assert answer(runner, *(sequence(model, prompt) for prompt in prompts)) == alone
    again = [sequence(model, prompt) for prompt in prompts]
    assert answer(runner, *again) == alone
    assert again and all(one.cached_tokens > 0 for one in again)


def test_a_closed_model_leaves_nothing_behind(tmp_path: Path, backend: Backend) -> None:
    """At once, and not when the garbage collector comes: the next model needs the memory now."""
    make_model(tmp_path / "m", "qwen3", "tiny")
    model = read_model("m", tmp_path / "m", bundled=False)
    gc.collect()
    before = mx.get_active_memory()
    gc.disable()
    try:
        runner = load(backend, model)
        answer(runner, sequence(model, tuple(range(5, 40))))
        runner.close()
        del runner
        mx.clear_cache()
        assert mx.get_active_memory() - before < model.weights_bytes / 20
    finally:
        gc.enable()


def test_a_load_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    make_model(tmp_path / "m", "qwen3", "tiny")
    model = read_model("m", tmp_path / "m", bundled=False)
    gc.collect()
    mx.clear_cache()
    before = mx.get_active_memory()
    begun = MlxLoading(model, CacheBudget(1 << 30), slice_seconds=0)
    while mx.get_active_memory() <= before:
        begun.advance()
    begun.close()
    assert mx.get_active_memory() + mx.get_cache_memory() <= before
