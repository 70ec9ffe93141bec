"""The device MLX computes on."""

from __future__ import annotations

import ctypes
import sys

import mlx.core as mx

from webapp.engine.memory import machine_bytes


def name() -> str:
    """The device's name for people: "Metal (Apple M3)", "CUDA (…)", "CPU"."""
    if mx.default_device() == mx.Device(mx.cpu):
        return "CPU"
    kind = "Metal" if mx.metal.is_available() else "CUDA"
    return f"{kind} ({mx.device_info().get('device_name', 'GPU')})"


def on_cpu() -> bool:
    return bool(mx.default_device() == mx.Device(mx.cpu))


def memory_bytes() -> int:
    """The device's memory: a CUDA card's own, otherwise the machine's."""
    if on_cpu() or mx.metal.is_available():
        return machine_bytes()
    return int(mx.device_info().get("total_memory", machine_bytes()))


def release_memory() -> None:
    """Return free memory to the system: the buffers MLX caches, and on Linux the pages the C library caches."""
    mx.clear_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
        if trim is not None:
            trim(0)


def multiply(size: int = 256) -> str:
    """Check one product of whole-number matrices, which float32 holds exactly. Raises RuntimeError if it is wrong."""
    ramp = mx.arange(size, dtype=mx.float32) % 7
    left, right = mx.broadcast_to(ramp[:, None], (size, size)), mx.broadcast_to(ramp[None, :], (size, size))
    if not mx.array_equal(left @ right, size * left * right).item():
        raise RuntimeError(f"a product of {size} × {size} numbers came out wrong")
    return f"{size} × {size} product on {name()}"
