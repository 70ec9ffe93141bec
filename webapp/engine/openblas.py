"""Makes a copy of the OpenBLAS that pip brings, with the symbol names that MLX calls.

The package scipy-openblas32 exports `scipy_cblas_sgemm`, MLX calls `cblas_sgemm`. A copy with the usual names is
made once: by `make install` below Python's own folder, by `make app` into the program, otherwise at the first start.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from webapp import paths
from webapp.engine.elf import CannotRename, without_prefix

PACKAGE = "scipy-openblas32"
SOURCE = "scipy_openblas32/lib/libscipy_openblas.so"
PREFIX = b"scipy_"
IN_PROGRAM = paths.ROOT / "libopenblas.so"
INSTALLED = Path(sys.prefix) / "lib" / "hearth"


class NotBrought(Exception):
    """Raised when this installation has no OpenBLAS that MLX can use; the message says why."""


def find(folder: Path | None) -> Path:
    """The renamed library of this installation, else the one in `folder`, made there when it is missing.

    With None nothing is written. Raises NotBrought.
    """
    if paths.PACKAGED:
        return IN_PROGRAM
    installed = INSTALLED / _file_name()
    if installed.exists():
        return installed
    if folder is None:
        raise NotBrought("OpenBLAS has no copy with the names that MLX asks for: run make install")
    return bring(folder, private=True)


def bring(folder: Path, *, private: bool) -> Path:
    """The renamed library in `folder`, made when it is missing (0.2 s); copies of other versions go.

    Private: the owner alone may read it. Raises NotBrought.
    """
    library = folder / _file_name()
    if not library.exists():
        try:
            renamed = without_prefix(Path(str(distribution(PACKAGE).locate_file(SOURCE))).read_bytes(), PREFIX)
            folder.mkdir(mode=0o700 if private else 0o755, parents=True, exist_ok=True)
            _write(library, renamed, 0o600 if private else 0o644)
            for other in folder.glob("libopenblas-*.so"):
                if other != library:
                    other.unlink(missing_ok=True)
        except CannotRename as fault:
            raise NotBrought(f"{PACKAGE} is {fault}") from fault
        except OSError as fault:
            raise NotBrought(f"OpenBLAS could not be copied: {fault.strerror}") from fault
    return library


def _file_name() -> str:
    try:
        return f"libopenblas-{distribution(PACKAGE).version}.so"
    except PackageNotFoundError as fault:
        raise NotBrought(f"{PACKAGE} is not installed") from fault


def _write(library: Path, content: bytes, mode: int) -> None:
    """Write the file whole or not at all, even when several processes write at once or the power fails."""
    descriptor, name = tempfile.mkstemp(prefix=".openblas-", dir=library.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(library)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
