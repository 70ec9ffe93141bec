"""The database under many threads, failures and versions: what plain `dataset` gets wrong."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from webapp.store.database import CannotOpen, Database, Migration

MIGRATIONS: tuple[Migration, ...] = (
    ("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT UNIQUE)", "CREATE TABLE counter (value INTEGER)"),
    ("INSERT INTO counter VALUES (0)",),
)


@pytest.fixture
def database(tmp_path: Path):
    database = Database(tmp_path / "test.db", MIGRATIONS)
    yield database
    database.close()


def texts(database: Database) -> list[str]:
    with database.read() as tx:
        return [row["text"] for row in tx.query("SELECT text FROM note ORDER BY id")]


def insert(database: Database, text: str) -> None:
    with database.write() as tx:
        tx.query("INSERT INTO note (text) VALUES (:text)", text=text)


def held_connections(database: Database) -> int:
    return len(database._dataset.connections)


def test_128_threads_write_and_read_and_keep_no_connection(database: Database) -> None:
    done, leave = threading.Barrier(129), threading.Event()
    errors: list[SQLAlchemyError] = []

    def work(thread: int) -> None:
        try:
            for turn in range(20):
                insert(database, f"{thread}/{turn}")
                with database.read() as tx:
                    list(tx.query("SELECT text FROM note ORDER BY id DESC LIMIT 20"))
        except SQLAlchemyError as error:
            errors.append(error)
        done.wait(60)
        leave.wait(60)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(128)]
    for thread in threads:
        thread.start()
    done.wait(60)
    try:
        assert not errors
        assert held_connections(database) == 0, "live threads hold connections"
    finally:
        leave.set()
        for thread in threads:
            thread.join()
    assert len(texts(database)) == 2560


def test_read_modify_write_loses_nothing(database: Database) -> None:
    def increment(_: int) -> None:
        with database.write() as tx:
            (row,) = tx.query("SELECT value FROM counter")
            tx.query("UPDATE counter SET value = :value", value=row["value"] + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(160)))
    with database.read() as tx:
        assert list(tx.query("SELECT value FROM counter")) == [{"value": 160}]


def test_two_openings_of_one_file_do_not_lose_writes(database: Database) -> None:
    second = Database(database.path, MIGRATIONS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: insert((database, second)[n % 2], str(n)), range(80)))
    second.close()
    assert len(texts(database)) == 80


def test_integrity_error_leaves_nothing_locked(database: Database) -> None:
    insert(database, "once")
    failed = threading.Event()
    release = threading.Event()

    def fail() -> None:
        with pytest.raises(IntegrityError):
            insert(database, "once")
        failed.set()
        release.wait(10)

    thread = threading.Thread(target=fail)
    thread.start()
    assert failed.wait(10)
    insert(database, "next")
    release.set()
    thread.join()
    assert texts(database) == ["once", "next"]


def test_an_error_does_not_tell_what_was_written(database: Database) -> None:
    insert(database, "a secret")
    with pytest.raises(IntegrityError) as failed:
        insert(database, "a secret")
    assert "UNIQUE" in str(failed.value)
    assert "a secret" not in str(failed.value)


def test_exception_rolls_back_the_whole_block(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as tx:
        tx.query("INSERT INTO note (text) VALUES ('half')")
        raise RuntimeError
    assert texts(database) == []
    assert held_connections(database) == 0


def test_a_write_may_contain_writes_and_reads(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write():
        insert(database, "inner")
        assert texts(database) == ["inner"]
        raise RuntimeError
    assert texts(database) == []


def test_reader_is_not_blocked_by_a_writer(database: Database) -> None:
    with database.write() as tx, ThreadPoolExecutor(1) as pool:
        tx.query("INSERT INTO note (text) VALUES ('new')")
        assert pool.submit(texts, database).result(timeout=2) == []


def test_reopening_keeps_rows_and_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.touch(mode=0o644)
    first = Database(path, MIGRATIONS)
    insert(first, "kept")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    first.close()
    first.close()
    again = Database(path, MIGRATIONS)
    assert texts(again) == ["kept"]
    again.close()
    assert [file.name for file in tmp_path.iterdir()] == ["test.db"], "the log was folded in"


def test_new_migrations_run_once_on_old_data(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    old = Database(path, MIGRATIONS[:1])
    insert(old, "kept")
    old.close()
    new = (*MIGRATIONS, ("ALTER TABLE note ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",))
    for _ in range(2):
        database = Database(path, new)
        with database.read() as tx:
            assert list(tx.query("SELECT text, pinned FROM note")) == [{"text": "kept", "pinned": 0}]
            assert list(tx.query("SELECT value FROM counter")) == [{"value": 0}]
        database.close()


def test_failed_migration_leaves_the_schema_before_it(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    with pytest.raises(CannotOpen):
        Database(path, (*MIGRATIONS, ("CREATE TABLE half (id INTEGER)", "CREATE TABLE note (id INTEGER)")))
    database = Database(path, (*MIGRATIONS, ("CREATE TABLE half (id INTEGER)",)))
    with database.read() as tx:
        assert list(tx.query("SELECT * FROM half")) == []
    database.close()


def test_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    Database(path, (*MIGRATIONS, ("CREATE TABLE later (id INTEGER)",))).close()
    before = path.read_bytes()
    with pytest.raises(CannotOpen, match=r"newer version of Hearth \(schema 3; this version knows 2\)"):
        Database(path, MIGRATIONS)
    assert path.read_bytes() == before


def test_a_schema_changes_only_after_a_copy(tmp_path: Path) -> None:
    path, copies = tmp_path / "test.db", tmp_path / "copies"
    copies.mkdir()
    old = Database(path, MIGRATIONS[:1], copies)
    insert(old, "kept")
    old.close()
    assert not list(copies.iterdir()), "a new file has nothing to copy"
    Database(path, MIGRATIONS, copies).close()
    (copy,) = copies.iterdir()
    assert (copy.name, stat.S_IMODE(copy.stat().st_mode)) == ("test-schema-1.db", 0o600)
    again = Database(copy, MIGRATIONS[:1])
    assert texts(again) == ["kept"]
    again.close()


def test_without_room_for_the_copy_the_schema_stays(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    Database(path, MIGRATIONS[:1]).close()
    before = path.read_bytes()
    with pytest.raises(CannotOpen, match="must be copied before its schema changes"):
        Database(path, MIGRATIONS, tmp_path / "missing")
    assert path.read_bytes() == before


def shopping_list(path: Path) -> None:
    path.write_text("my shopping list " * 1000)


def zeroed_in_the_middle(path: Path) -> None:
    """The first page is whole, the table's is not."""
    database = Database(path, MIGRATIONS)
    for number in range(2000):
        insert(database, f"row {number}")
    database.close()
    content = bytearray(path.read_bytes())
    content[8192:40960] = bytes(32768)
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    zeroed_in_the_middle(path)
    path.write_bytes(path.read_bytes()[:12288])


@pytest.mark.parametrize("damage", [shopping_list, zeroed_in_the_middle, cut_off])
def test_a_damaged_file_is_moved_aside_whole(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "test.db"
    damage(path)
    before = path.read_bytes()
    database = Database(path, MIGRATIONS)
    assert texts(database) == []
    insert(database, "a new beginning")
    assert database.set_aside is not None and database.set_aside.name.startswith("test.db.corrupt-")
    assert database.set_aside.read_bytes() == before
    database.close()
    again = Database(path, MIGRATIONS)
    assert (texts(again), again.set_aside) == (["a new beginning"], None)
    again.close()


def test_two_damaged_files_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    for number in range(3):
        path.write_text(f"list {number} " * 200)
        Database(path, MIGRATIONS).close()
    assert sorted(file.read_text()[:6] for file in tmp_path.glob("*.corrupt-*")) == ["list 0", "list 1", "list 2"]


def test_free_pages_go_back_to_the_disk(database: Database) -> None:
    with database.write() as tx:
        for number in range(500):
            tx.query("INSERT INTO note (text) VALUES (:text)", text=f"{number} " * 1000)
    database.give_back(0)
    full, used = database.path.stat().st_size, database.used_bytes
    with database.write() as tx:
        tx.query("DELETE FROM note")
    assert database.used_bytes < used / 10
    assert database.path.stat().st_size == full
    database.give_back(10_000)
    assert database.path.stat().st_size < full / 10
