"""What was built: its size by part, held to the budget, and how fast it is. `make app` prints it.

python -m tools.package.report           sizes and times
python -m tools.package.report --keep    also make today's sizes the budget's
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
FOLDER = DIST / "hearth"
PROGRAM = FOLDER / "hearth"
ONEFILE = DIST / "hearth-onefile"
BUDGET = ROOT / "tools" / "package" / "budget.json"
MB = 1_000_000
FOLDER_LIMIT_MB = 220
ONEFILE_LIMIT_MB = 95
# A part may grow by this much before it is named: releases of libraries differ by a little.
TOLERANCE_MB = 1.0
SMALL_MB = 1.0
CLEAN = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "HEARTH_NO_BROWSER": "1"}


def sizes() -> dict[str, float]:
    """MB of each part of the folder: libraries by name, and everything small together."""
    parts: Counter[str] = Counter()
    for file in FOLDER.rglob("*"):
        if file.is_file() and not file.is_symlink():
            parts[part_of(file)] += file.stat().st_size
    small = sum(size for size in parts.values() if size < SMALL_MB * MB)
    named = {name: round(size / MB, 1) for name, size in sorted(parts.items()) if size >= SMALL_MB * MB}
    return named | {"everything small": round(small / MB, 1)}


def part_of(file: Path) -> str:
    """The library a file belongs to, without the version in its name."""
    inside = file.relative_to(FOLDER).parts
    return inside[1].split(".so")[0] if len(inside) > 1 else "the program's own code"


def grown(found: dict[str, float], budget: dict[str, float]) -> list[str]:
    """A line for every part that is larger than it was allowed to be."""
    return [
        f"{name}: {size:.1f} MB, {budget.get(name, 0):.1f} MB in the budget"
        for name, size in found.items()
        if size > budget.get(name, 0) + TOLERANCE_MB
    ]


def megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if not file.is_symlink() and file.is_file()]
    return sum(file.stat().st_size for file in files) / MB


@contextmanager
def served(program: Path, data: Path) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """A server of the built program in a clean environment: process, address, seconds from exec to ready."""
    began = time.perf_counter()
    command = [str(program), "serve", "--no-browser", "--port", "0", "--data-dir", str(data)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/", env=CLEAN
    )
    assert process.stdout is not None
    url = process.stdout.readline().rpartition(" ")[2].strip()
    try:
        yield process, url, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def first_chat_seconds(url: str) -> float:
    began = time.perf_counter()
    body = {"model": "ember", "messages": [{"role": "user", "content": "What is Hearth?"}], "max_tokens": 8}
    httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()
    return time.perf_counter() - began


def times(program: Path) -> str:
    """The better of two starts: the first one of a new file is read from the disk."""
    ready, chat = [], []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as data, served(program, Path(data)) as (_, url, seconds):
            ready.append(seconds)
            chat.append(first_chat_seconds(url))
    return f"ready after {min(ready):.2f} s, first chat {min(chat):.2f} s later"


def main() -> int:
    found = sizes()
    if "--keep" in sys.argv:
        BUDGET.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{size:8.1f} MB  {name}")
    print(f"{megabytes(FOLDER):8.1f} MB  {FOLDER.relative_to(ROOT)}, of {FOLDER_LIMIT_MB}: {times(PROGRAM)}")
    print(f"{megabytes(ONEFILE):8.1f} MB  {ONEFILE.relative_to(ROOT)}, of {ONEFILE_LIMIT_MB}: {times(ONEFILE)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
