"""Estimates the memory that loading a model takes, from names, types and shapes in its files' headers alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from webapp.engine.mlx.config import read_config
from webapp.errors import ModelLoadFailed

LARGEST_HEADER_BYTES = 100 << 20
HALF_PRECISION = frozenset({"BF16", "F16"})
FLOAT32_BYTES = 4
DEFAULT_GROUP = 64


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as it lies in a file."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


def stored_bytes(folder: Path) -> int:
    """Bytes of the weights as the files hold them, which a GPU keeps unchanged in memory."""
    return sum(tensor.nbytes for tensor in read_headers(folder).values())


def float32_bytes(folder: Path) -> int:
    """Bytes of the weights as float32, as a CPU keeps them, plus the largest tensor once more as stored."""
    tensors = read_headers(folder)
    groups = _group_sizes(read_config(folder))
    widened = {name: _widened(name, tensors, groups) for name in tensors}
    changed = (tensors[name].nbytes for name, nbytes in widened.items() if nbytes > tensors[name].nbytes)
    return sum(widened.values()) + max(changed, default=0)


def _widened(name: str, tensors: Mapping[str, Tensor], groups: Mapping[str, int]) -> int:
    tensor = tensors[name]
    layer, _, part = name.rpartition(".")
    scales = tensors.get(f"{layer}.scales")
    if scales is not None and part in ("scales", "biases"):
        return 0
    if scales is not None and part == "weight":
        return prod(scales.shape) * groups.get(layer, groups[""]) * FLOAT32_BYTES
    return tensor.nbytes * 2 if tensor.dtype in HALF_PRECISION else tensor.nbytes


def _group_sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """How many weights share a scale, by layer where the config differs; "" stands for all other layers."""
    quantization = config.get("quantization") or config.get("quantization_config") or {}
    layers = {name: entry for name, entry in quantization.items() if isinstance(entry, dict)}
    sizes = {name: int(entry.get("group_size", DEFAULT_GROUP)) for name, entry in layers.items()}
    return {**sizes, "": int(quantization.get("group_size", DEFAULT_GROUP))}


def read_headers(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder. Raises ModelLoadFailed when a file is cut off or not a safetensors file."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            tensors.update(_header(path))
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise ModelLoadFailed(f"{path.name} cannot be read: {error}") from error
    return tensors


def _header(path: Path) -> Iterator[tuple[str, Tensor]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LARGEST_HEADER_BYTES:
            raise ValueError(f"its header is {length} bytes long")
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            yield name, Tensor(entry["dtype"], tuple(entry["shape"]), last - first)
