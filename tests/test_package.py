"""What a build needs: an icon that macOS reads, a bill of materials that is true, and sizes that are watched."""

from __future__ import annotations

import json
import re
import shutil
import struct
import sys
import zlib
from pathlib import Path

import pytest

from tools.package import icon, report, sbom

ROOT = Path(__file__).resolve().parent.parent


def test_the_icon_holds_every_size() -> None:
    content = icon.icns()
    assert content[:4] == b"icns" and struct.unpack(">I", content[4:8]) == (len(content),)
    found, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at + 4 : at + 8])
        found[content[at : at + 4].decode()] = content[at + 8 : at + length]
        at += length
    assert {kind: struct.unpack(">II", picture[16:24])[0] for kind, picture in found.items()} == {
        kind: size for size, kind in icon.KINDS.items()
    }


def test_the_icon_is_the_favicon_s_flame() -> None:
    pixels = icon.draw(64)
    assert pixels[0, 0, 3] == 0
    assert tuple(pixels[44, 32]) == (255, 138, 61, 255)
    assert tuple(pixels[50, 12]) == (42, 36, 32, 255)
    header, body = icon.png(16)[:33], icon.png(16)[33:-12]
    assert header.startswith(b"\x89PNG")
    assert len(zlib.decompress(body[8:-4])) == 16 * (16 * 4 + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="docs/ tells of the libraries that Linux needs")
def test_the_bill_in_the_docs_is_of_the_pinned_libraries() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text("utf-8"), re.M))
    pinned = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    bill = json.loads((sbom.DOCS / "sbom.json").read_text("utf-8"))
    listed = {part["name"]: part["version"] for part in bill["components"] if part["purl"].startswith("pkg:pypi")}
    assert {name: pinned.get(name) for name in listed} == listed, "run: python -m tools.package.sbom"
    assert listed.keys() == set(sbom.brought()), "run: python -m tools.package.sbom"


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="dpkg-query is not here")
def test_what_is_taken_from_the_system_has_its_papers() -> None:
    shell = Path("/bin/sh").resolve()
    (part,) = sbom.of_the_system([shell, shell, ROOT / "README.md"])
    assert part.name in ("dash", "bash", "busybox")
    assert part.version and "icen" in part.texts[0]


def test_what_has_grown_is_named() -> None:
    budget = {"mlx": 20.0, "numpy": 10.0}
    assert report.grown({"mlx": 20.9, "numpy": 8.0}, budget) == []
    assert report.grown({"mlx": 25.0, "new": 3.0}, budget) == [
        "mlx: 25.0 MB, 20.0 MB in the budget",
        "new: 3.0 MB, 0.0 MB in the budget",
    ]
