"""The device MLX computes on."""

from __future__ import annotations

import ctypes
import sys

import mlx.core as mx

from webapp.engine.memory import machine_bytes


def name() -> str:
    """For people: "Metal (Apple M3)", "CUDA (…)", "CPU"."""
    if mx.default_device() == mx.Device(mx.cpu):
        return "CPU"
    kind = "Metal" if mx.metal.is_available() else "CUDA"
    return f"{kind} ({mx.device_info().get('device_name', 'GPU')})"


def on_cpu() -> bool:
    return bool(mx.default_device() == mx.Device(mx.cpu))


def memory_bytes() -> int:
    """A CUDA card has memory of its own; everything else shares the machine's."""
    if on_cpu() or mx.metal.is_available():
        return machine_bytes()
    return int(mx.device_info().get("total_memory", machine_bytes()))


def release_memory() -> None:
    """Give what is free back to the system: MLX keeps buffers, and on Linux the C library keeps pages."""
    mx.clear_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
        if trim is not None:
            trim(0)
