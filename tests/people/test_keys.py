"""Keys over a real database: made, found, noted, revoked; sessions that live no longer than their key."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.pages.conftest import until
from webapp.errors import Conflict, InvalidFields, KeyNotFound
from webapp.people.keys import SESSION_SECONDS, Keys
from webapp.store.database import Database
from webapp.store.keys import KeyStore, SavedKey
from webapp.store.schema import MIGRATIONS

DAY = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: Database, clock: Clock) -> Iterator[Keys]:
    keys = Keys(KeyStore(database), clock)
    yield keys
    keys.close()


def test_a_key_is_found_by_its_secret_and_by_nothing_else(keys: Keys) -> None:
    key, secret = keys.create({"name": "laptop"})
    assert (key.name, key.scope, key.models, key.expires) == ("laptop", "inference", (), None)
    assert secret.startswith("hearth_") and len(secret) == len("hearth_") + 43
    found = keys.find(secret)
    assert found is not None and found.name == "laptop"
    for wrong in ("", "hearth_", secret[:-1], secret + "x", secret.upper(), key.hint, "laptop", "\ud800", "é" * 9):
        assert keys.find(wrong) is None


def test_the_secret_is_nowhere_in_the_file(keys: Keys, database: Database, tmp_path: Path) -> None:
    key, secret = keys.create({"name": "laptop", "scope": "admin"})
    session = keys.begin_session(key.name)
    database.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"laptop" in kept
    assert secret.encode() not in kept and session.encode() not in kept
    assert secret.startswith(key.hint) and len(key.hint) == 11


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({}, "name", "'name' must be"),
        ({"name": ""}, "name", "'name' must be"),
        ({"name": "a/b"}, "name", "'name' must be"),
        ({"name": "-a"}, "name", "'name' must be"),
        ({"name": "a" * 65}, "name", "'name' must be"),
        ({"name": 7}, "name", "'name' must be"),
        ({"name": "Page"}, "name", "somebody else in the audit"),
        ({"name": "a", "scope": "root"}, "scope", "must be one of inference, admin"),
        ({"name": "a", "scope": ["admin"]}, "scope", "must be one of"),
        ({"name": "a", "models": "ember"}, "models", "must be a list"),
        ({"name": "a", "models": ["x"] * 101}, "models", "at most 100"),
        ({"name": "a", "models": [""]}, "models", "must hold names"),
        ({"name": "a", "models": [1]}, "models", "must hold names"),
        ({"name": "a", "expires": True}, "expires", "a date, a time, or a number"),
        ({"name": "a", "expires": []}, "expires", "a date, a time, or a number"),
        ({"name": "a", "expires": 0}, "expires", "in the future"),
        ({"name": "a", "expires": -5}, "expires", "in the future"),
        ({"name": "a", "expires": 1_900_000_000}, "expires", "within ten years"),
        ({"name": "a", "expires": 10**400}, "expires", "within ten years"),
        ({"name": "a", "expires": float("nan")}, "expires", "finite"),
        ({"name": "a", "expires": "soon"}, "expires", "must be like 2027-01-31"),
        ({"name": "a", "expires": "2020-01-01"}, "expires", "in the future"),
        ({"name": "a", "expires": "2999-01-01"}, "expires", "within ten years"),
        ({"name": "a", "secret": "mine"}, "secret", "no field 'secret'"),
    ],
)
def test_what_no_key_can_be(keys: Keys, values: dict[str, object], field: str, message: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        keys.create(values)
    assert message in caught.value.errors[field]
    assert keys.current == ()


def test_a_name_is_taken_once(keys: Keys) -> None:
    keys.create({"name": "a"})
    with pytest.raises(Conflict, match="There is a key 'a' already"):
        keys.create({"name": "a", "scope": "admin"})
    assert [key.scope for key in keys.current] == ["inference"]


@pytest.mark.parametrize(
    ("raw", "lasts"),
    [(60, 60), (0.5, 0.5), ("2027-01-16T08:00:00Z", 86_400), ("2027-01-16T10:00:00+02:00", 86_400), ("", None)],
)
def test_when_it_ends(keys: Keys, clock: Clock, raw: object, lasts: float | None) -> None:
    key, secret = keys.create({"name": "a", "expires": raw})
    assert key.expires == (None if lasts is None else clock.now + lasts)
    clock.now += (lasts or DAY) - 0.01
    assert keys.find(secret) is not None
    clock.now += 0.01
    assert (keys.find(secret) is None) == (lasts is not None)


def test_a_date_lasts_until_its_end(keys: Keys) -> None:
    key, _ = keys.create({"name": "a", "expires": "2027-02-03"})
    assert key.expires is not None
    assert f"{datetime.fromtimestamp(key.expires):%Y-%m-%d %H:%M}" == "2027-02-03 23:59"


def test_revoked_it_is_nobody_s(keys: Keys) -> None:
    key, secret = keys.create({"name": "a", "scope": "admin"})
    session = keys.begin_session(key.name)
    assert keys.session(session) is not None
    assert keys.revoke("a").name == "a"
    assert keys.find(secret) is None
    assert keys.session(session) is None
    with pytest.raises(KeyNotFound, match="There is no key 'a'"):
        keys.revoke("a")
    keys.create({"name": "a", "scope": "admin"})
    assert keys.session(session) is None, "a new key of the same name must not bring old sessions back"


def test_sessions_end(keys: Keys, clock: Clock) -> None:
    key, _ = keys.create({"name": "a", "scope": "admin", "expires": 40 * DAY})
    of_key, of_owner = keys.begin_session(key.name), keys.begin_session(None)
    assert (keys.session("junk"), keys.session("")) == (None, None)
    found, owner = keys.session(of_key), keys.session(of_owner)
    assert found is not None and found.key is not None and found.key.name == "a"
    assert owner is not None and owner.key is None
    keys.end_session(of_owner)
    assert keys.session(of_owner) is None
    clock.now += SESSION_SECONDS
    assert keys.session(of_key) is None


def test_a_session_ends_with_its_key(keys: Keys, clock: Clock) -> None:
    key, _ = keys.create({"name": "a", "scope": "admin", "expires": DAY})
    session = keys.begin_session(key.name)
    clock.now += DAY
    assert keys.session(session) is None
    assert not keys.has_admin


def test_sessions_without_a_key_end_once(tmp_path: Path) -> None:
    before = Database(tmp_path / "hearth.db", MIGRATIONS[:6])
    keys = Keys(KeyStore(before))
    key, _ = keys.create({"name": "a", "scope": "admin"})
    of_key, of_whom = keys.begin_session(key.name), keys.begin_session(None)
    keys.close()
    before.close()
    for lasts in (False, True):  # at the migration, and at the start after it
        database = Database(tmp_path / "hearth.db", MIGRATIONS)
        keys = Keys(KeyStore(database))
        assert keys.session(of_key) is not None
        assert (keys.session(of_whom) is not None) == lasts
        of_whom = keys.begin_session(None)
        keys.close()
        database.close()


def test_use_is_noted_once_a_minute(keys: Keys, clock: Clock, tmp_path: Path) -> None:
    def used() -> float | None:
        with closing(sqlite3.connect(tmp_path / "hearth.db")) as raw:
            return raw.execute("SELECT used FROM keys").fetchone()[0]  # type: ignore[no-any-return]

    _, secret = keys.create({"name": "a"})
    first = clock.now
    assert used() is None
    keys.find(secret)
    until(lambda: used() == first)
    clock.now += 59
    keys.find(secret)
    clock.now += 1
    keys.find(secret)
    until(lambda: used() == first + 60)


def test_what_another_process_does_is_seen_within_a_second(keys: Keys, tmp_path: Path) -> None:
    other = Database(tmp_path / "hearth.db", MIGRATIONS)
    elsewhere = Keys(KeyStore(other))
    _, secret = elsewhere.create({"name": "b", "scope": "admin", "models": ["ember"]})
    until(lambda: keys.find(secret) is not None, seconds=1.5)
    assert keys.has_admin and keys.current[0].models == ("ember",)
    elsewhere.revoke("b")
    until(lambda: keys.find(secret) is None, seconds=1.5)
    elsewhere.close()
    other.close()


def test_who_could_sign_in(keys: Keys) -> None:
    assert not keys.has_admin
    keys.create({"name": "i"})
    assert not keys.has_admin
    keys.create({"name": "a", "scope": "admin"})
    assert keys.has_admin
    with pytest.raises(Conflict, match="'a' is the last admin key"):
        keys.revoke("a", keep_an_admin=True)
    keys.revoke("i", keep_an_admin=True)
    keys.create({"name": "b", "scope": "admin"})
    assert keys.revoke("a", keep_an_admin=True).name == "a"
    keys.revoke("b")
    assert not keys.has_admin


class MeetingStore(KeyStore):
    """Who is about to delete a key waits until another one is."""

    def __init__(self, database: Database, meeting: threading.Barrier):
        super().__init__(database)
        self._meeting = meeting

    def delete(self, *args: Any) -> SavedKey | None:
        self._meeting.wait(10)
        return super().delete(*args)


@pytest.mark.parametrize("processes", [1, 2])
def test_of_two_last_admins_who_revoke_each_other_one_stays(tmp_path: Path, processes: int) -> None:
    """Two open the database as two processes do."""
    databases = [Database(tmp_path / "hearth.db", MIGRATIONS) for _ in range(processes)]
    meeting = threading.Barrier(2)
    rings = [Keys(MeetingStore(database, meeting)) for database in databases]
    for name in ("a", "b"):
        rings[0].create({"name": name, "scope": "admin"})
    outcomes: list[str] = []

    def revoke(ring: Keys, name: str) -> None:
        try:
            outcomes.append(ring.revoke(name, keep_an_admin=True).name)
        except Conflict as refusal:
            outcomes.append(str(refusal.code))

    threads = [
        threading.Thread(target=revoke, args=(ring, name))
        for ring, name in zip((rings[0], rings[-1]), "ab", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(outcomes) == 2 and "last_admin_key" in outcomes
    assert len(KeyStore(databases[0]).load()[0]) == 1
    for ring, database in zip(rings, databases, strict=True):
        ring.close()
        database.close()
