"""Decides which BLAS computes MLX's float32 products on Linux, and loads it before MLX is imported.

MLX's Linux wheel carries the reference BLAS; a library loaded earlier with global symbols takes its place, and computes
products of 16 to 256 rows 25 to 80 times as fast. `HEARTH_BLAS` names another library, or `none`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from pathlib import Path

from webapp.engine import openblas

log = logging.getLogger(__name__)

VARIABLE = "HEARTH_BLAS"
NONE = "none"
PRODUCT = "cblas_sgemm"  # what MLX calls; a library without it is no BLAS for MLX
CPU_INFO = Path("/proc/cpuinfo")
PENTIUM_4_FAMILY = 15
# OpenBLAS's kernels, fastest first, and the processor features that each needs.
KERNELS = (
    ("SkylakeX", frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})),
    ("Haswell", frozenset({"avx2", "fma"})),
)


def load(folder: Path | None = None) -> str:
    """Load a BLAS for MLX and return in words what float32 products run on; without one MLX's own is used.

    Where pip alone installed Hearth, the library is made in `folder`; with None nothing is written.
    """
    if sys.platform != "linux":
        return "Accelerate"
    # OpenBLAS threads spin while they wait: leave a core to the web.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    if kernel := kernel_to_name(CPU_INFO.read_text("utf-8") if CPU_INFO.exists() else ""):
        os.environ.setdefault("OPENBLAS_CORETYPE", kernel)
    named = os.environ.get(VARIABLE, "").strip()
    if named == NONE:
        return f"reference BLAS, slow ({VARIABLE}={NONE})"
    problem = ""
    if named:
        try:
            return f"{_take(named)} ({VARIABLE}={named})"
        except OSError as fault:
            problem = f"; {VARIABLE} cannot be used: {fault}"
            log.warning("%s cannot be used: %s", VARIABLE, fault)
    return _load_brought(folder) + problem


def kernel_to_name(cpuinfo: str) -> str | None:
    """The kernel that OpenBLAS must be told to use on the processor of this /proc/cpuinfo, else None.

    OpenBLAS 0.3.34 takes every Intel processor whose family is 15 or more, the newest too, for a Pentium 4.
    """
    lines = (line.partition(":") for line in cpuinfo.partition("\n\n")[0].splitlines())
    processor = {name.strip(): value.strip() for name, _, value in lines}
    if processor.get("vendor_id") != "GenuineIntel" or int(processor.get("cpu family", 0)) < PENTIUM_4_FAMILY:
        return None
    flags = frozenset(processor.get("flags", "").split())
    return next((kernel for kernel, needed in KERNELS if needed <= flags), None)


def _load_brought(folder: Path | None) -> str:
    try:
        return _take(str(openblas.find(folder)))
    except (openblas.NotBrought, OSError) as fault:
        log.warning("Prompts are computed by the reference BLAS, which is slow: %s", fault)
        return f"reference BLAS, slow: {fault}"


def _take(path: str) -> str:
    """Load the library so that MLX finds it, and return its name. Raises OSError when MLX cannot use it."""
    library = ctypes.CDLL(path)
    if not hasattr(library, PRODUCT):
        raise OSError(f"{path}: it has no {PRODUCT}")
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return _describe(library) or Path(path).name


def _describe(library: ctypes.CDLL) -> str:
    """OpenBLAS's version and the kernel it chose for this processor; empty for another library."""
    try:
        config, kernel = library.openblas_get_config, library.openblas_get_corename
    except AttributeError:
        return ""
    config.restype = kernel.restype = ctypes.c_char_p
    name, version = config().decode().split()[:2]
    return f"{name} {version}, kernel {kernel().decode()}"
