"""The parameters that clients know and Hearth does not do: refused by name, harmless, or ignored and named.

Each route has its table of those it refuses; docs/api.md shows the same to its readers. Knows no Flask and no engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from webapp.api.strict import StrictBody
from webapp.errors import UnsupportedParameter

# Parameters accepted without effect: they name, store or bill a request, and do not change its answer.
HARMLESS = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    }
)
_IGNORED_SHOWN = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Refused:
    """A parameter that Hearth refuses, unless its value is one of `off`, which change nothing."""

    name: str
    off: tuple[object, ...] = ()

    def is_off(self, value: object) -> bool:
        """True if `value` is one of `off`. `True` does not equal `1` here: a bool is never a number."""
        return any(type(value) is type(off) and value == off for off in self.off)


def refuse_unsupported(body: Mapping[str, object], refused: tuple[Refused, ...]) -> None:
    for parameter in refused:
        value = body.get(parameter.name)
        if value is not None and not parameter.is_off(value):
            raise UnsupportedParameter(
                f"The parameter '{parameter.name}' is not supported with this value.", parameter.name
            )


def ignored_names(body: StrictBody, refused: tuple[Refused, ...], harmless: frozenset[str] = HARMLESS) -> str:
    """Return the unknown fields of `body`, nested ones as dotted paths, as one safe header value."""
    known = harmless | {parameter.name for parameter in refused}
    names: list[str] = []
    for path in _extra_paths(body, known):
        if len(names) == _IGNORED_SHOWN:
            names.append("...")
            break
        names.append(path)
    return ", ".join(names)


def _extra_paths(model: StrictBody, known: frozenset[str] = frozenset(), prefix: str = "") -> Iterator[str]:
    if model.left_out:
        yield prefix.removesuffix(".")
        return
    for name in model.model_extra or ():
        if name not in known:
            yield prefix + _header_safe(name)
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, StrictBody):
            yield from _extra_paths(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], StrictBody):
            for index, item in enumerate(value):
                yield from _extra_paths(item, prefix=f"{prefix}{name}[{index}].")


def _header_safe(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else quote(name[:64], safe="")[:64]
