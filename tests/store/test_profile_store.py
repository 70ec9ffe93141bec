"""Saved profiles come back as they were; a profile takes another's place in one step."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from webapp.store.database import Database
from webapp.store.profiles import ProfileStore, SavedProfile
from webapp.store.schema import MIGRATIONS

HELPER = SavedProfile("team/helper", "org/model", {"temperature": 0.5, "system_prompt": "Grüß\n"}, 17)


def test_a_profile_comes_back_as_it_was(tmp_path: Path) -> None:
    database = Database(tmp_path / "hearth.db", MIGRATIONS)
    ProfileStore(database).save(HELPER)
    database.close()
    again = Database(tmp_path / "hearth.db", MIGRATIONS)
    assert ProfileStore(again).load() == [HELPER]
    again.close()


def test_replacing_is_all_or_nothing(tmp_path: Path) -> None:
    store = ProfileStore(Database(tmp_path / "hearth.db", MIGRATIONS))
    other = SavedProfile("other", "org/model", {}, 18)
    store.save(HELPER)
    store.save(other)
    with pytest.raises(IntegrityError):
        store.save(SavedProfile("other", "org/model", {}, 19), instead_of=HELPER.name)
    assert sorted(profile.name for profile in store.load()) == ["other", "team/helper"]
    store.save(SavedProfile("helper", "org/model", {}, 17), instead_of=HELPER.name)
    store.delete("other")
    assert [profile.name for profile in store.load()] == ["helper"]
