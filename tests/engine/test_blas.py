from __future__ import annotations

import pytest

from webapp.engine import blas

AVX512 = "avx512f avx512cd avx512bw avx512dq avx512vl"


@pytest.mark.parametrize(
    ("cpuinfo", "kernel"),
    [
        (f"model name : X\nflags : fpu avx2 fma {AVX512}\n", "SkylakeX"),
        ("flags : fpu avx2 fma avx512f\n", "Haswell"),
        ("flags : fpu sse3\n", None),
        ("Features : fp asimd\n", None),
        ("", None),
    ],
)
def test_the_kernel_is_one_that_the_processor_can_run(cpuinfo: str, kernel: str | None) -> None:
    assert blas.best_kernel(cpuinfo) == kernel


def test_what_is_in_use_is_told() -> None:
    assert any(name in blas.load() for name in ("OpenBLAS", "reference BLAS", "Accelerate"))
