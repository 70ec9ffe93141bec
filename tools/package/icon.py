"""Draws Hearth.icns from static/favicon.svg, in plain Python: a build needs no drawing program.

python -m tools.package.icon FILE
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

FAVICON = Path(__file__).resolve().parents[2] / "static" / "favicon.svg"
VIEW = 32.0
# macOS leaves a tenth of the tile free around the shape.
MARGIN = 0.1
SAMPLES = 4
CURVE_STEPS = 24
KINDS = {16: "icp4", 32: "icp5", 64: "ic12", 128: "ic07", 256: "ic08", 512: "ic09", 1024: "ic10"}
Point = tuple[float, float]


def icns() -> bytes:
    """Every size of macOS in one file: each a PNG under its four-letter name."""
    parts = b"".join(_chunk(kind, png(size)) for size, kind in KINDS.items())
    return b"icns" + struct.pack(">I", len(parts) + 8) + parts


def _chunk(kind: str, content: bytes) -> bytes:
    return kind.encode() + struct.pack(">I", len(content) + 8) + content


def png(size: int) -> bytes:
    pixels = draw(size)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def draw(size: int) -> np.ndarray:
    """The tile and the flame as RGBA, `SAMPLES` times finer in both directions and then averaged."""
    svg = FAVICON.read_text("utf-8")
    ground, flame = re.findall(r'fill="#([0-9a-f]{6})"', svg)
    radius = float(re.findall(r'rx="([0-9.]+)"', svg)[0])
    fine = size * SAMPLES
    at = (np.arange(fine) + 0.5 - fine * MARGIN) * VIEW / (fine * (1 - 2 * MARGIN))
    in_tile = _inside_tile(at, radius)
    in_flame = _inside(at, outline(re.findall(r' d="([^"]+)"', svg)[0])) & in_tile
    tile_share, flame_share = (
        mask.reshape(size, SAMPLES, size, SAMPLES).mean(axis=(1, 3))[..., None] for mask in (in_tile, in_flame)
    )
    of_ground, of_flame = (np.array([*bytes.fromhex(colour)]) for colour in (ground, flame))
    both = of_ground * (tile_share - flame_share) + of_flame * flame_share
    solid = np.divide(both, tile_share, out=np.zeros_like(both), where=tile_share > 0)
    return np.concatenate([solid, tile_share * 255], axis=2).round().astype(np.uint8)


def _inside_tile(at: np.ndarray, radius: float) -> np.ndarray:
    half = VIEW / 2
    over = np.maximum(np.abs(at - half) - (half - radius), 0) ** 2
    return over[:, None] + over <= radius**2


def _inside(at: np.ndarray, points: list[Point]) -> np.ndarray:
    """Even-odd: how many edges lie to the right of each sample. `at` are the places of rows and columns."""
    inside = np.zeros((len(at), len(at)), bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        rows = slice(*np.searchsorted(at, sorted((y0, y1))))
        if rows.start < rows.stop:
            crossing = x0 + (at[rows] - y0) / (y1 - y0) * (x1 - x0)
            inside[rows] ^= at < crossing[:, None]
    return inside


def outline(path: str) -> list[Point]:
    """The corners of a path of M, c, a (half circles) and Z, as the favicon uses them."""
    here: Point = (0.0, 0.0)
    points: list[Point] = []
    for letter, numbers in _commands(path):
        if letter == "M":
            here = (numbers[0], numbers[1])
            points.append(here)
        elif letter == "c":
            for first, second, end in _triples(numbers, here):
                points += _curve(here, first, second, end)
                here = end
        elif letter == "a":
            points += _half_circle(here, end := (here[0] + numbers[5], here[1] + numbers[6]))
            here = end
        elif letter != "Z":
            raise ValueError(f"the favicon's path uses '{letter}'")
    return points


def _commands(path: str) -> Iterator[tuple[str, list[float]]]:
    for letter, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        yield letter, [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", rest)]


def _triples(numbers: list[float], here: Point) -> Iterator[tuple[Point, Point, Point]]:
    """Relative control points and ends, made absolute; each curve starts where the one before ended."""
    for at in range(0, len(numbers), 6):
        x, y = here
        first, second, end = ((x + numbers[i], y + numbers[i + 1]) for i in range(at, at + 6, 2))
        yield first, second, end
        here = end


def _curve(start: Point, first: Point, second: Point, end: Point) -> list[Point]:
    t = np.linspace(0, 1, CURVE_STEPS + 1)[1:, None]
    bends = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * np.array(first)
    bends = bends + 3 * (1 - t) * t**2 * np.array(second) + t**3 * np.array(end)
    return [(float(x), float(y)) for x, y in bends]


def _half_circle(start: Point, end: Point) -> list[Point]:
    """Counter-clockwise on the page from left to right, below the line between the two."""
    middle, radius = (start[0] + end[0]) / 2, (end[0] - start[0]) / 2
    angles = np.linspace(np.pi, 0, CURVE_STEPS + 1)[1:]
    return [(float(middle + radius * np.cos(a)), float(start[1] + radius * np.sin(a))) for a in angles]


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(icns())
