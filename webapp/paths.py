"""The folders of templates, static files, bundled models and the user's data."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs


def _root() -> Path:
    """The folder of templates/, static/ and models/: in the packaged program, the installed package or the source."""
    here = Path(__file__).resolve().parent
    return Path(getattr(sys, "_MEIPASS", here if (here / "templates").is_dir() else here.parent))


ROOT = _root()
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
BUNDLED_MODELS = ROOT / "models"
PACKAGED = bool(getattr(sys, "frozen", False))
PAPERS = ROOT / ("licences" if PACKAGED else "docs")  # the bill of materials and everybody's licences
REMEDY = "Change its permissions, or name another folder with --data-dir."


class CannotUse(Exception):
    """Raised when Hearth may not use a folder that it needs. The message is for people."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """The user's data folder. Folders have mode 0700, files 0600."""

    root: Path
    logs: Path

    @classmethod
    def at(cls, path: Path | None) -> DataDir:
        """Opens the folder at `path`, or the platform's own if None, and makes missing folders. Raises CannotUse."""
        if path is None:
            root = Path(platformdirs.user_data_dir("Hearth", appauthor=False))
            logs = Path(platformdirs.user_log_dir("Hearth", appauthor=False))
        else:
            root = path.expanduser().resolve()
            logs = root / "logs"
        for folder in (root, logs, root / "run", root / "backups"):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _make_private(folder)
            except OSError as error:
                raise CannotUse(f"Hearth cannot keep its files in {folder}: {error.strerror}. {REMEDY}") from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise CannotUse(f"Hearth may not write in {folder}. {REMEDY}")
        return cls(root, logs)

    @property
    def database(self) -> Path:
        return self.root / "hearth.db"

    @property
    def audit_database(self) -> Path:
        return self.root / "audit.db"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def blas(self) -> Path:
        return self.root / "blas"

    @property
    def run(self) -> Path:
        return self.root / "run"


def this_program() -> list[str]:
    """The command that starts this program once more."""
    if PACKAGED:
        return [sys.executable]
    return [sys.executable, "-P", "-m", "webapp"]  # -P: never a webapp/ in the working folder


def _make_private(folder: Path) -> None:
    """Sets mode 0700 on a folder of this user, as an older one may be open to others; leaves other owners' alone."""
    found = folder.stat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
