"""Saved settings survive as JSON values, all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from webapp.store.database import Database
from webapp.store.schema import MIGRATIONS
from webapp.store.settings import SettingsStore


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    values = {"port": 8080, "theme": "dark", "temperature": 0.5, "top_p": None, "pinned": ["a", "ü"], "ok": True}
    database = Database(tmp_path / "hearth.db", MIGRATIONS)
    SettingsStore(database).save(values)
    database.close()
    again = Database(tmp_path / "hearth.db", MIGRATIONS)
    assert SettingsStore(again).load() == values
    again.close()


def test_save_replaces_and_removes_in_one_step(tmp_path: Path) -> None:
    store = SettingsStore(Database(tmp_path / "hearth.db", MIGRATIONS))
    store.save({"port": 1, "theme": "dark"})
    store.save({"port": 2}, removed=["theme", "unknown"])
    assert store.load() == {"port": 2}
    with pytest.raises(TypeError):
        store.save({"port": 3, "theme": object()})
    assert store.load() == {"port": 2}
