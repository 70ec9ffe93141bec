"""What is promised about memory, against what MLX really takes."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm import convert

from tests.engine.mlx.conftest import admit, advance, sequence
from tiny_models import make_model
from webapp.catalog.folders import read_model
from webapp.engine.backend import Backend
from webapp.engine.cache_budget import CacheBudget
from webapp.engine.mlx.batch import MlxRunner
from webapp.engine.mlx.estimate import read_headers, stored_bytes
from webapp.errors import ModelLoadFailed


def load(backend: Backend, folder: Path) -> MlxRunner:
    loading = backend.open(read_model(folder.name, folder, bundled=False), CacheBudget(1 << 30))
    while (runner := loading.advance()) is None:
        pass
    return runner


@pytest.mark.parametrize("architecture", ["qwen3", "llama", "gemma3_text", "mamba2", "lfm2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_estimate_is_within_15_percent_of_the_measured_peak(
    tmp_path: Path, backend: Backend, architecture: str, dtype: str
) -> None:
    make_model(tmp_path / "m", architecture, "tiny", dtype=dtype)
    estimate = backend.estimate_bytes(read_model("m", tmp_path / "m", bundled=False))
    assert peak_of_loading(backend, tmp_path / "m") == pytest.approx(estimate, rel=0.15)


@pytest.mark.parametrize("bits", [4, 8])
def test_the_estimate_of_a_quantised_model_is_as_near(tmp_path: Path, backend: Backend, bits: int) -> None:
    make_model(tmp_path / "whole", "qwen3", "small")
    convert(str(tmp_path / "whole"), str(tmp_path / "packed"), quantize=True, q_bits=bits, q_group_size=32)
    estimate = backend.estimate_bytes(read_model("m", tmp_path / "packed", bundled=False))
    assert peak_of_loading(backend, tmp_path / "packed") == pytest.approx(estimate, rel=0.15)


def peak_of_loading(backend: Backend, folder: Path) -> int:
    gc.collect()  # or the models of earlier tests go while this one comes
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    runner = load(backend, folder)
    peak = mx.get_peak_memory() - before
    runner.close()
    return peak


@pytest.mark.parametrize("architecture", ["qwen3", "llama", "gemma3_text", "mamba2", "lfm2"])
@pytest.mark.parametrize("lengths", [(20,), (300,), (10, 290, 40)])
def test_a_batch_never_takes_more_kv_than_was_promised(
    tmp_path: Path, backend: Backend, architecture: str, lengths: tuple[int, ...]
) -> None:
    make_model(tmp_path / "m", architecture, "nano")
    runner = load(backend, tmp_path / "m")
    model = read_model("m", tmp_path / "m", bundled=False)
    sequences = [sequence(model, tuple(range(5, 5 + length)), max_tokens=12) for length in lengths]
    promised = runner.kv_bytes_for([one.most_tokens for one in sequences])
    admit(runner, *sequences)
    most = 0
    while runner.sequences():
        advance(runner, {})
        most = max(most, runner.kv_bytes)
    assert 0 < most <= promised
    assert promised <= 3 * most


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    make_model(tmp_path / "m", "qwen3", "nano")
    (weights,) = (tmp_path / "m").glob("*.safetensors")
    assert stored_bytes(tmp_path / "m") > 100_000
    weights.write_bytes(weights.read_bytes()[:5])
    with pytest.raises(ModelLoadFailed, match=weights.name):
        read_headers(tmp_path / "m")
    weights.write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelLoadFailed, match="header"):
        read_headers(tmp_path / "m")
    weights.write_bytes((14).to_bytes(8, "little") + json.dumps({"a": "b"}).encode().ljust(14))
    with pytest.raises(ModelLoadFailed):
        read_headers(tmp_path / "m")
