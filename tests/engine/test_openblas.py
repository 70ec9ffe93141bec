"""The copy of OpenBLAS that MLX can use: made once, whole, and found again."""

from __future__ import annotations

import ctypes
import shutil
import stat
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from webapp import paths
from webapp.engine import openblas

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="OpenBLAS is brought on Linux only")

BACKEND = """
import sys
from pathlib import Path
from webapp.engine.backend import Backend
backend = Backend(Path(sys.argv[1]))
backend.wait(60)
print(backend.blas)
"""
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from webapp.engine import openblas
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
openblas.bring(Path(sys.argv[1]), private=True)
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the same packages, below whose folder `make install` has put nothing."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def begin(python: Path, folder: Path) -> subprocess.Popen[str]:
    packages = [str(paths.ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    return subprocess.Popen(
        [python, "-c", BACKEND, folder],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", env={"PYTHONPATH": ":".join(packages)},
    )  # fmt: skip


def test_the_first_start_makes_it_in_the_data_folder(bare_python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "blas"
    said, problems = begin(bare_python, folder).communicate(timeout=60)
    assert said.startswith("OpenBLAS "), said + problems
    (library,) = folder.iterdir()
    made = library.stat()
    assert (stat.S_IMODE(made.st_mode), stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)
    assert begin(bare_python, folder).communicate(timeout=60)[0] == said
    assert (library.stat().st_ino, library.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_two_first_starts_at_once(bare_python: Path, tmp_path: Path) -> None:
    starts = [begin(bare_python, tmp_path) for _ in range(2)]
    assert [start.communicate(timeout=60)[0].startswith("OpenBLAS ") for start in starts] == [True, True]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_start_that_cannot_make_it_says_why_and_goes_on(bare_python: Path, tmp_path: Path) -> None:
    (tmp_path / "blas").write_text("a file where the folder should be")
    said, problems = begin(bare_python, tmp_path / "blas").communicate(timeout=60)
    assert said == "reference BLAS, slow: OpenBLAS could not be copied: File exists\n"
    assert "OpenBLAS could not be copied" in problems


def test_many_at_once_make_one_whole_library(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: openblas.bring(tmp_path, private=True), range(8)))
    assert list(tmp_path.iterdir()) == list(made)
    assert hasattr(ctypes.CDLL(str(made.pop())), "cblas_sgemm")


def test_a_new_version_takes_the_place_of_the_old(tmp_path: Path) -> None:
    (tmp_path / "libopenblas-0.3.1.so").write_text("old")
    made = openblas.bring(tmp_path / ".", private=False)
    assert list(tmp_path.iterdir()) == [made]
    assert version(openblas.PACKAGE) in made.name
    assert stat.S_IMODE(made.stat().st_mode) == 0o644


def test_a_full_disk_leaves_no_half_of_it(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=False)
    assert "NotBrought: OpenBLAS could not be copied: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_make_install_puts_it_below_python_s_own_folder(bare_python: Path, tmp_path: Path) -> None:
    prefix = bare_python.parent.parent
    packages = ":".join(path for path in sys.path if path.endswith("site-packages"))
    for _ in range(2):
        done = subprocess.run(
            [bare_python, "-m", "tools.bring_openblas"],
            cwd=paths.ROOT, env={"PYTHONPATH": packages}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    (library,) = (prefix / "lib" / "hearth").iterdir()
    assert begin(bare_python, tmp_path / "data").communicate(timeout=60)[0].startswith("OpenBLAS ")
    assert not (tmp_path / "data").exists()
    shutil.rmtree(library.parent)
