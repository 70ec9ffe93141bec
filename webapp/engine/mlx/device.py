"""The device MLX computes on."""

from __future__ import annotations

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
