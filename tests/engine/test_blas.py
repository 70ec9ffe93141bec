"""Which BLAS computes MLX's products. Each try is a process of its own: a BLAS is loaded once, before MLX is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from webapp.engine import blas, openblas

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MLX brings what it needs")

AVX512 = "avx512f avx512cd avx512bw avx512dq avx512vl"
ROWS = (1, 16, 256)
PRODUCTS = f"""
import json
from webapp.engine import blas
said = blas.load()
import numpy as np, mlx.core as mx
mx.set_default_device(mx.cpu)
random = np.random.default_rng(11)
weights = random.standard_normal((1024, 512), np.float32)
errors = {{}}
for rows in {ROWS}:
    x = random.standard_normal((rows, 512), np.float32)
    exact = x.astype(np.float64) @ weights.T.astype(np.float64)
    found = np.array(mx.array(x) @ mx.array(weights).T)
    errors[rows] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
print(json.dumps({{"blas": said, "errors": errors}}))
"""


def described(vendor: str, family: int, flags: str) -> str:
    one = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 1\nflags\t\t: fpu {flags}\n\n"
    return one * 2


@pytest.mark.parametrize(
    ("cpuinfo", "kernel"),
    [
        (described("GenuineIntel", 19, f"avx2 fma {AVX512}"), "SkylakeX"),
        (described("GenuineIntel", 18, "avx2 fma avx512f"), "Haswell"),
        (described("GenuineIntel", 15, "sse3"), None),
        (described("GenuineIntel", 6, f"avx2 fma {AVX512}"), None),
        (described("AuthenticAMD", 26, f"avx2 fma {AVX512}"), None),
        ("processor\t: 0\nFeatures\t: fp asimd\n", None),
        ("", None),
    ],
)
def test_a_kernel_is_named_only_where_openblas_would_take_the_slowest(cpuinfo: str, kernel: str | None) -> None:
    assert blas.kernel_to_name(cpuinfo) == kernel


def attempt(tmp_path: Path, **environ: str) -> tuple[str, dict[str, float], set[str], str]:
    """What is said to be in use, the errors by rows, the libraries that MLX's products were bound to, and the log."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "HEARTH_BLAS"))}
    spy = {"LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": str(tmp_path / "bindings")}
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTS],
        env=inherited | spy | environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    bound = re.compile(r"binding file \S*/libmlx\.so \[0\] to (\S+) \[0\]: normal symbol `cblas_sgemm'")
    libraries = {Path(name).name for file in tmp_path.glob("bindings*") for name in bound.findall(file.read_text())}
    return result["blas"], result["errors"], libraries, done.stderr


def brought() -> Path:
    return openblas.find(None)


def test_the_brought_library_computes_right_products(tmp_path: Path) -> None:
    said, errors, libraries, _ = attempt(tmp_path)
    assert re.fullmatch(r"OpenBLAS [\d.]+, kernel \w+", said)
    assert libraries == {brought().name}
    assert max(errors.values()) < 1e-4 and len(errors) == len(ROWS)


def test_none_leaves_mlx_its_own(tmp_path: Path) -> None:
    said, errors, libraries, _ = attempt(tmp_path, HEARTH_BLAS="none")
    assert said == "reference BLAS, slow (HEARTH_BLAS=none)"
    assert len(libraries) == 1 and libraries.pop().startswith("libblas")
    assert max(errors.values()) < 1e-4


def test_another_library_can_be_named(tmp_path: Path) -> None:
    other = tmp_path / "libother.so"
    shutil.copy(brought(), other)
    said, _, libraries, _ = attempt(tmp_path, HEARTH_BLAS=str(other))
    assert re.fullmatch(rf"OpenBLAS [\d.]+, kernel \w+ \(HEARTH_BLAS={other}\)", said)
    assert libraries == {"libother.so"}


@pytest.mark.parametrize(("name", "why"), [("missing.so", "No such file"), ("libc.so.6", "it has no cblas_sgemm")])
def test_one_that_cannot_be_used_is_named_and_the_brought_one_taken(tmp_path: Path, name: str, why: str) -> None:
    path = str(tmp_path / name) if name == "missing.so" else name
    said, _, libraries, log = attempt(tmp_path, HEARTH_BLAS=path)
    assert said.startswith("OpenBLAS ") and f"; HEARTH_BLAS cannot be used: {path}: " in said and why in said
    assert f"HEARTH_BLAS cannot be used: {path}: " in log and why in log
    assert libraries == {brought().name}
