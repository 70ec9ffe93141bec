"""A fast BLAS for MLX on Linux CPU, found and loaded before MLX is.

MLX's Linux wheel carries the reference BLAS; a library loaded earlier with global symbols takes its
place. Measured: 2 times faster alone, 6 to 12 times in a batch of 16.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys

NAMES = ("libopenblas.so.0", "libopenblas64.so.0")


def load() -> str:
    """Load OpenBLAS when this is Linux and it is installed; returns what float32 products run on."""
    if sys.platform != "linux":
        return "Accelerate"
    # OpenBLAS threads spin while they wait: leave a core to the web.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    for name in (*NAMES, ctypes.util.find_library("openblas")):
        try:
            if name:
                ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
                return f"OpenBLAS ({name})"
        except OSError:
            continue
    return "reference BLAS (install libopenblas0 for 2 to 12 times the speed)"
