"""The device MLX computes on."""

from __future__ import annotations

import mlx.core as mx


def name() -> str:
    """For people: "Metal (Apple M3)", "CUDA (…)", "CPU"."""
    if mx.default_device() == mx.Device(mx.cpu):
        return "CPU"
    kind = "Metal" if mx.metal.is_available() else "CUDA"
    return f"{kind} ({mx.device_info().get('device_name', 'GPU')})"


def on_cpu() -> bool:
    return bool(mx.default_device() == mx.Device(mx.cpu))
