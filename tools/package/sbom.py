"""What is inside: a bill of materials (CycloneDX) and everybody's licence, from what is installed here.

python -m tools.package.sbom        writes docs/sbom.json and docs/third-party-licences.txt
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from webapp import __version__

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
VENDORED = {"htmx.org": "4.0.1"}
# Optional needs of libraries that the program does without.
LEFT_OUT = ("hf_xet", "greenlet")
LICENCE_NAMES = ("licen", "copying", "notice")
CLASSIFIER = "License :: OSI Approved :: "
LINE = "=" * 100


@dataclass(frozen=True, slots=True)
class Part:
    """A library inside the program; `purl` is how scanners name it."""

    name: str
    version: str
    licence: str
    purl: str
    texts: tuple[str, ...]


def write(folder: Path, taken: Iterable[Path] = ()) -> None:
    """`sbom.json` and `third-party-licences.txt`, the same for the same libraries; `taken`: files of the system."""
    parts = [*inside(), *of_the_system(taken)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sbom.json").write_text(json.dumps(bill(parts), indent=1) + "\n", "utf-8")
    (folder / "third-party-licences.txt").write_text(texts(parts), "utf-8")


def inside() -> Iterator[Part]:
    """Python, what the program needs in turn, and what is vendored."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    yield Part("python", python, "PSF-2.0", f"pkg:generic/python@{python}", tuple(_python_licence()))
    for name in brought():
        found = distribution(name)
        purl = f"pkg:pypi/{name}@{found.version}"
        yield Part(name, found.version, _licence(found), purl, tuple(_licence_texts(found)))
    text = (ROOT / "static" / "vendor" / "htmx.LICENSE").read_text("utf-8")
    for name, version in VENDORED.items():
        yield Part(name, version, "0BSD", f"pkg:npm/{name}@{version}", (text,))


def brought() -> list[str]:
    """The Python libraries in the program."""
    return sorted(needed() - set(map(_plain, LEFT_OUT)))


def of_the_system(files: Iterable[Path]) -> Iterator[Part]:
    """The Debian packages that these files belong to; others know no package for a file."""
    if shutil.which("dpkg-query") is None:
        return
    for name in sorted({_package_of(file) for file in files} - {""}):
        version = _said("dpkg-query", "--show", "--showformat=${Version}", name)
        text = Path("/usr/share/doc") / name / "copyright"
        texts = (text.read_text("utf-8", errors="replace").strip(),) if text.is_file() else ()
        yield Part(name, version, "see its text", f"pkg:deb/debian/{name}@{version}", texts)


def _package_of(file: Path) -> str:
    """A package may still name a file as it was before /lib and /bin moved into /usr."""
    path = str(file.resolve())
    return _said("dpkg-query", "--search", path, path.removeprefix("/usr")).partition(":")[0]


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def needed() -> set[str]:
    """The names of all that pyproject.toml asks for, in turn, on this machine; without extras nobody asked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: set[tuple[str, frozenset[str]]] = set()
    asked = list(_wanted(project["dependencies"], frozenset()))
    while asked:
        if (need := asked.pop()) not in found:
            found.add(need)
            name, extras = need
            asked += _wanted(distribution(name).requires or (), extras)
    return {name for name, _ in found}


def _wanted(lines: Iterable[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """What these requirements ask for here, given the extras that were asked of whoever has them."""
    for line in lines:
        need = Requirement(line)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield _plain(need.name), frozenset(need.extras)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _licence(found: Distribution) -> str:
    """As the library says it: the expression, else the classifiers, else the first line of the free text."""
    about = found.metadata
    if expression := about.get("License-Expression"):
        return expression
    said = [line.removeprefix(CLASSIFIER) for line in about.get_all("Classifier") or () if line.startswith(CLASSIFIER)]
    if said:
        return " OR ".join(said)
    return (about.get("License") or "see its text").strip().splitlines()[0]


def _licence_texts(found: Distribution) -> Iterator[str]:
    """The licence files a wheel brought, whole."""
    for file in sorted(found.files or (), key=str):
        if file.suffix in ("", ".txt", ".md", ".rst") and any(word in file.name.lower() for word in LICENCE_NAMES):
            path = Path(str(file.locate()))
            if path.is_file():
                yield path.read_text("utf-8", errors="replace").strip()


def _python_licence() -> Iterator[str]:
    for place in (Path(sysconfig.get_path("stdlib")), Path(sys.base_prefix)):
        for name in ("LICENSE.txt", "LICENSE"):
            if (place / name).is_file():
                yield (place / name).read_text("utf-8").strip()
                return


def bill(parts: list[Part]) -> dict[str, object]:
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "hearth",
                "version": __version__,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": [
            {
                "type": "library",
                "name": part.name,
                "version": part.version,
                "purl": part.purl,
                "licenses": [{"license": {"name": part.licence}}],
            }
            for part in parts
        ],
    }


def texts(parts: list[Part]) -> str:
    """Every licence under the name of its library; one that brings no file is told by its name alone."""
    chapters = []
    for part in parts:
        body = "\n\n".join(part.texts) or f"Its package brings no text of its licence: {part.licence}."
        chapters.append(f"{LINE}\n{part.name} {part.version}: {part.licence}\n{LINE}\n\n{body}\n")
    return "\n".join(chapters)


if __name__ == "__main__":
    write(DOCS)
