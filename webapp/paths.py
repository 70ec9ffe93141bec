"""Where templates, static files, bundled models and the user's data live."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

ROOT = Path(getattr(sys, "_MEIPASS", Path(__file__).resolve().parent.parent))
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
BUNDLED_MODELS = ROOT / "models"


@dataclass(frozen=True, slots=True)
class DataDir:
    """The user's data folder: 0700, everything in it 0600."""

    root: Path
    logs: Path

    @classmethod
    def at(cls, path: Path | None) -> DataDir:
        """The folder at `path`, or the platform's own when None; made when missing."""
        if path is None:
            root = Path(platformdirs.user_data_dir("Hearth", appauthor=False))
            logs = Path(platformdirs.user_log_dir("Hearth", appauthor=False))
        else:
            root = path.expanduser().resolve()
            logs = root / "logs"
        for folder in (root, logs, root / "run", root / "backups"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(folder)
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
    def run(self) -> Path:
        return self.root / "run"


def _make_private(folder: Path) -> None:
    """A folder that was there before may be open to others; somebody else's folder is left as it is."""
    found = folder.stat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
