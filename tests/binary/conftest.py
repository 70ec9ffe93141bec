"""The built programs, run as on somebody else's machine: nothing in the environment, no Python, no tools."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
FOLDER = DIST / "hearth"
PROGRAMS = {"folder": FOLDER / "hearth", "onefile": DIST / "hearth-onefile"}
SOURCES = ("webapp", "templates", "static", "models", "build.spec", "constraints.txt")
READY = "Hearth is ready at "


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only what was built from the code as it is can say something about it."""
    if reason := why_not():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def why_not() -> str:
    if not all(program.exists() for program in PROGRAMS.values()):
        return "dist/ is not built: run `make app`"
    built = min(program.stat().st_mtime for program in PROGRAMS.values())
    newest = max(file_time(ROOT / name) for name in SOURCES)
    return "dist/ is older than the code: run `make app`" if newest > built else ""


def file_time(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    return max(file.stat().st_mtime for file in files)


@dataclass(frozen=True)
class Bare:
    """An empty home, an empty folder for temporary files, and a program to run in them."""

    program: Path
    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(arguments), env=self._environ(environ), cwd="/", capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def begin(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command(arguments), env=self._environ(environ), cwd="/", stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [str(self.program), *arguments]

    def _environ(self, more: dict[str, str]) -> dict[str, str]:
        bare = {"PATH": "/nonexistent", "HOME": str(self.home), "TMPDIR": str(self.temporary)}
        return {**bare, "HEARTH_NO_BROWSER": "1", "HEARTH_DATA_DIR": str(self.data), "HEARTH_PORT": "0", **more}


both = pytest.mark.parametrize("bare", PROGRAMS, indirect=True)


@pytest.fixture
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bare]:
    """The program in the folder; where a test says `both`, also the one that unpacks itself."""
    (tmp_path / "tmp").mkdir()
    bare = Bare(PROGRAMS[getattr(request, "param", "folder")], tmp_path)
    yield bare
    bare.run("stop")


@dataclass
class Served:
    process: subprocess.Popen[str]
    url: str
    pid: int


Serve = Callable[..., Served]


@pytest.fixture
def serve(bare: Bare) -> Iterator[Serve]:
    """Starts `hearth serve`; what is still there at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def serve(*arguments: str, **environ: str) -> Served:
        process = bare.begin("serve", "--no-browser", *arguments, **environ)
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(READY):
            process.kill()
            pytest.fail(f"not ready: {line!r} {process.communicate()[1]}")
        # The onefile's server is a child of the process that unpacked it.
        pid = json.loads((bare.data / "run" / "server.json").read_text())["pid"]
        return Served(process, line.removeprefix(READY).strip(), pid)

    yield serve
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def open_files(pid: int) -> list[str]:
    """What a process holds open, without its pipes and sockets."""
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    return sorted(name for name in names if name.startswith("/") and not name.startswith("/dev/"))
