"""Daily copies: one a day, seven kept, taken while others write."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.wsgi.conftest import eventually
from webapp.store.backups import Backups
from webapp.store.database import Database

DAY_SECONDS = 86_400.0
NOON = 1_790_000_000.0
SCHEMA = (("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)",),)


@pytest.fixture
def database(tmp_path: Path):
    database = Database(tmp_path / "hearth.db", SCHEMA)
    (tmp_path / "backups").mkdir()
    yield database
    database.close()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def insert(database: Database, text: str) -> None:
    with database.write() as tx:
        tx.query("INSERT INTO note (text) VALUES (:text)", text=text)


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(raw.execute("SELECT count(*) FROM note").fetchone()[0])


def test_one_a_day_and_the_newest_seven(database: Database) -> None:
    clock = Clock()
    copies = Backups(database.path, database.path.parent / "backups", clock)
    for day in range(10):
        insert(database, f"day {day}")
        copies.back_up_if_due()
        insert(database, "after the copy")
        copies.back_up_if_due()
        clock.now += DAY_SECONDS
    kept = copies.daily()
    assert [rows(path) for path in kept] == [19, 17, 15, 13, 11, 9, 7]
    assert copies.newest == kept[0]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert len(list(kept[0].parent.iterdir())) == 7, "nothing half-made, no logs"


def test_a_copy_under_writers_is_whole(database: Database) -> None:
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            insert(database, "x" * 500)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    clock = Clock()
    copies = Backups(database.path, database.path.parent / "backups", clock)
    for _ in range(5):
        copies.back_up_if_due()
        clock.now += DAY_SECONDS
    done.set()
    for writer in writers:
        writer.join()
    counts = [rows(path) for path in reversed(copies.daily())]
    assert len(counts) == 5 and counts == sorted(counts)


def test_its_thread_looks_by_itself(database: Database) -> None:
    clock = Clock()
    copies = Backups(database.path, database.path.parent / "backups", clock, look_seconds=0.01)
    copies.start()
    assert eventually(lambda: len(copies.daily()) == 1)
    clock.now += DAY_SECONDS
    assert eventually(lambda: len(copies.daily()) == 2)
    copies.close()


def test_a_failure_is_logged_and_made_good(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    folder = database.path.parent / "backups"
    folder.rmdir()
    copies = Backups(database.path, folder, Clock())
    copies.back_up_if_due()
    assert "was not backed up" in caplog.text
    folder.mkdir()
    copies.back_up_if_due()
    assert copies.newest is not None
