"""Reads and checks a model folder's config files, which come from strangers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from webapp.errors import ModelLoadFailed

# Far above any real model: a crafted config must not hang the engine while its layers are built.
LARGEST = {"num_hidden_layers": 512, "hidden_size": 65_536, "intermediate_size": 1 << 20, "vocab_size": 2_000_000}


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder. Raises ModelLoadFailed when it is not a JSON object."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadFailed(f"config.json cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelLoadFailed("config.json is not a JSON object.")
    return config


def check_config(config: dict[str, Any]) -> None:
    """Refuse code from the model folder, and sizes that no real model has."""
    if "model_file" in config:
        raise ModelLoadFailed("config.json names a model_file: Hearth never runs code from a model folder.")
    for part in (config, config.get("text_config") or {}):
        for name, largest in LARGEST.items():
            value = part.get(name, 1)
            if isinstance(value, int) and not 0 < value <= largest:
                raise ModelLoadFailed(f"config.json has {name} = {value}; it must be between 1 and {largest}.")


def eos_ids(folder: Path, config: dict[str, Any]) -> list[int]:
    """The end-of-text token ids of generation_config.json, else those of config.json."""
    path = folder / "generation_config.json"
    generation = json.loads(path.read_text("utf-8")) if path.exists() else {}
    ids = generation.get("eos_token_id", config.get("eos_token_id"))
    return [ids] if isinstance(ids, int) else list(ids or [])
