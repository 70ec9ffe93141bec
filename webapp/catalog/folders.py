"""Where models lie on disk, and what one folder says about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from webapp.generation import InstalledModel

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
DEFAULT_CONTEXT_LENGTH = 4096


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
    except OSError:
        pass
    return max(subfolders(repo / "snapshots"), key=lambda folder: folder.stat().st_mtime, default=None)


def subfolders(root: Path) -> list[Path]:
    """Visible folders in `root`, by name; none when it cannot be read."""
    try:
        return sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    except OSError:
        return []


def is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def read_model(model_id: str, folder: Path, bundled: bool) -> InstalledModel:
    """Describe a model folder. Unreadable files count as empty: what is wrong shows when it is loaded."""
    config = read_json(folder / "config.json")
    text = {**config, **(config.get("text_config") or {})}
    weights = list(folder.glob("*.safetensors"))
    return InstalledModel(
        id=model_id,
        path=folder,
        context_length=positive_int(text.get("max_position_embeddings"), DEFAULT_CONTEXT_LENGTH),
        weights_bytes=sum(file.stat().st_size for file in weights),
        created=int((folder / "config.json").stat().st_mtime),
        sampling=sampling_of(read_json(folder / "generation_config.json")),
        bundled=bundled,
        architecture=str(config.get("model_type", "")),
    )


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
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def positive_int(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default
