"""The model architectures of mlx-lm, which imports them by name, so a packaged program must contain each."""

from __future__ import annotations

import importlib
import pkgutil

import mlx_lm.chat_templates
import mlx_lm.models
import mlx_lm.tool_parsers

# mlx-lm 0.32: this one ends the program when ai2-olmo, which needs torch, is not installed. olmo2 and olmo3 do not.
NEEDS_TORCH = ("olmo",)


def import_all() -> list[str]:
    """Import all architectures, tool parsers and chat templates; returns the architectures. Raises ImportError."""
    for package in (mlx_lm.tool_parsers, mlx_lm.chat_templates):
        _import_from(package)
    return _import_from(mlx_lm.models)


def _import_from(package: object) -> list[str]:
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]
    names = [found.name for found in pkgutil.iter_modules(path) if found.name not in NEEDS_TORCH]
    if not names:
        raise ImportError(f"{name} is empty")
    for found in names:
        importlib.import_module(f"{name}.{found}")
    return names
