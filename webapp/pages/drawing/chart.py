"""Computes shapes from numbers: a bar cut into shares, a line over time. Knows no HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 80


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a bar; `start` and `width` in thousandths of it."""

    name: str
    amount: int
    start: float
    width: float


def shares(parts: Iterable[tuple[str, int]], whole: int) -> list[Share]:
    found, start = [], 0.0
    for name, amount in parts:
        width = 1000 * amount / max(1, whole)
        found.append(Share(name, amount, round(start, 2), round(width, 2)))
        start += width
    return found


@dataclass(frozen=True, slots=True)
class Chart:
    """A line over equal spans of time, newest at the right. `top` is the value at its upper edge."""

    line: str
    area: str
    top: float
    minutes: float

    @classmethod
    def of(cls, numbers: Sequence[float], span_seconds: float) -> Chart:
        top = _round_up(max(numbers, default=0))
        step = WIDTH / max(1, len(numbers) - 1)
        points = [f"{index * step:.1f},{HEIGHT - HEIGHT * number / top:.1f}" for index, number in enumerate(numbers)]
        line = " ".join(points)
        return cls(line, f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}", top, len(numbers) * span_seconds / 60)


def _round_up(number: float) -> float:
    """Round up to 10, 20, 50, 100, …, so that the scale does not jump at every point."""
    top = 10.0
    for factor in (2, 2.5, 2) * 12:
        if number <= top:
            return top
        top *= factor
    return top
