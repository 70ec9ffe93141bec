"""The data folder: made when missing, closed to others when it was there."""

from __future__ import annotations

import stat
from pathlib import Path

from webapp.paths import DataDir


def modes(data: DataDir) -> set[int]:
    return {stat.S_IMODE(folder.stat().st_mode) for folder in (data.root, data.logs, data.run)}


def test_a_new_folder_is_the_users_alone(tmp_path: Path) -> None:
    data = DataDir.at(tmp_path / "deep" / "down")
    assert modes(data) == {0o700}
    assert (data.database, data.logs) == (tmp_path / "deep" / "down" / "hearth.db", data.root / "logs")


def test_a_folder_open_to_others_is_closed_and_what_is_not_hearths_is_left(tmp_path: Path) -> None:
    root = tmp_path / "there"
    for folder in (root, root / "logs", root / "run", root / "mine"):
        folder.mkdir()
        folder.chmod(0o755)
    assert modes(DataDir.at(root)) == {0o700}
    assert stat.S_IMODE((root / "mine").stat().st_mode) == 0o755
