"""Where models lie on disk, and what one folder says about itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from webapp.generation import InstalledModel

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
DEFAULT_CONTEXT_LENGTH = 4096
# Where a chat template may stand.
TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")
# Weights, configurations, chat templates and the files of tokenizers.
READ_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken"})


def model_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Ids and folders of the models below a models folder: `root/name` or `root/org/name`."""
    for folder in subfolders(root):
        if is_model(folder):
            yield folder.name, folder
            continue
        for inner in subfolders(folder):
            if is_model(inner):
                yield f"{folder.name}/{inner.name}", inner


def cached_models(cache: Path) -> Iterator[tuple[str, Path]]:
    """Repo ids and snapshot folders of the models in a Hugging Face cache."""
    for repo in subfolders(cache):
        if not repo.name.startswith("models--"):
            continue
        snapshot = current_snapshot(repo)
        if snapshot is not None and is_model(snapshot):
            yield repo.name.removeprefix("models--").replace("--", "/"), snapshot


def current_snapshot(repo: Path) -> Path | None:
    """The snapshot that `refs/main` names, else the newest one."""
    try:
        named = repo / "snapshots" / (repo / "refs" / "main").read_text("utf-8").strip()
        if named.is_dir():
            return named
    except (OSError, ValueError):
        pass
    return max(subfolders(repo / "snapshots"), key=modified, default=None)


def subfolders(root: Path) -> list[Path]:
    """Visible folders in `root`, by name; none when it cannot be read."""
    try:
        return [path for path in sorted(root.iterdir()) if not path.name.startswith(".") and is_folder(path)]
    except OSError:
        return []


def is_folder(path: Path) -> bool:
    """True for a folder; False for a link to a place that Hearth may not read, where `Path.is_dir` raises."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_model(folder: Path) -> bool:
    return os.access(folder / "config.json", os.R_OK) and weights_bytes(folder) > 0


def weights_bytes(folder: Path) -> int:
    """The size of the weights; 0 when there are none, or when one of them cannot be read."""
    try:
        files = [file for file in folder.iterdir() if file.suffix == ".safetensors"]
        return sum(file.stat().st_size for file in files) if all(os.access(file, os.R_OK) for file in files) else 0
    except OSError:
        return 0


def modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def read_model(model_id: str, folder: Path, bundled: bool) -> InstalledModel:
    """Describe a model folder, even one that vanishes meanwhile; loading it later reports what is wrong."""
    read_at, version = time.monotonic(), version_of(folder)
    config = read_json(folder / "config.json")
    nested = config.get("text_config")
    text = config | nested if isinstance(nested, dict) else config
    return InstalledModel(
        id=model_id,
        path=folder,
        context_length=positive_int(text.get("max_position_embeddings"), DEFAULT_CONTEXT_LENGTH),
        weights_bytes=weights_bytes(folder),
        created=int(modified(folder / "config.json")),
        sampling=sampling_of(read_json(folder / "generation_config.json")),
        bundled=bundled,
        architecture=str(config.get("model_type", "")),
        version=version,
        read_at=read_at,
        can_think=can_think(folder),
    )


def version_of(folder: Path) -> str:
    """A hash that differs when a file that loading reads has another name, size or time of change."""
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix in READ_SUFFIXES)
    except OSError:
        files = []
    return blake2b(repr([stamp(file) for file in files]).encode(), digest_size=8).hexdigest()


def stamp(file: Path) -> tuple[str, int, int]:
    """The file's name, size in bytes and time of change in nanoseconds."""
    try:
        state = file.stat()
    except OSError:
        return file.name, 0, 0
    return file.name, state.st_size, state.st_mtime_ns


def sampling_of(generation_config: Mapping[str, Any]) -> dict[str, float]:
    """The sampling a generation_config.json recommends; `do_sample: false` means greedy."""
    chosen = {
        name: generation_config[name]
        for name in SAMPLING
        if isinstance(generation_config.get(name), int | float) and not isinstance(generation_config[name], bool)
    }
    if generation_config.get("do_sample") is False:
        chosen["temperature"] = 0.0
    return chosen


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def positive_int(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def can_think(folder: Path) -> bool:
    """Whether the chat template knows `enable_thinking`, the name all of today's families use."""
    return any("enable_thinking" in read_text(folder / name) for name in TEMPLATE_FILES)


def read_text(path: Path) -> str:
    """The file's text; empty when the file cannot be read."""
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
