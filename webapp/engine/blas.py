"""A fast BLAS for MLX on Linux CPU, found and loaded before MLX is.

MLX's Linux wheel carries the reference BLAS; a library loaded earlier with global symbols takes its
place. Measured: 2 times faster alone, 6 to 12 times in a batch of 16.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

NAMES = ("libopenblas.so.0", "libopenblas64.so.0")
CPU_FLAGS = Path("/proc/cpuinfo")
# OpenBLAS's kernels, fastest first, and what a processor must be able to do for them.
KERNELS = (
    ("SkylakeX", frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})),
    ("Haswell", frozenset({"avx2", "fma"})),
)


def load() -> str:
    """Load OpenBLAS when this is Linux and it is installed; returns what float32 products run on."""
    if sys.platform != "linux":
        return "Accelerate"
    # OpenBLAS threads spin while they wait: leave a core to the web.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    # OpenBLAS 0.3.21 takes processors newer than itself for old ones and is 5 times slower on them.
    if kernel := best_kernel(CPU_FLAGS.read_text("utf-8") if CPU_FLAGS.exists() else ""):
        os.environ.setdefault("OPENBLAS_CORETYPE", kernel)
    for name in (*NAMES, ctypes.util.find_library("openblas")):
        try:
            if name:
                ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
                return f"OpenBLAS ({name})"
        except OSError:
            continue
    return "reference BLAS (install libopenblas0 for 2 to 12 times the speed)"


def best_kernel(cpuinfo: str) -> str | None:
    """The fastest kernel that the processor described in /proc/cpuinfo can run; None leaves it to OpenBLAS."""
    line = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    flags = frozenset(line.partition(":")[2].split())
    return next((kernel for kernel, needed in KERNELS if needed <= flags), None)
