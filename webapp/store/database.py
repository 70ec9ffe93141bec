"""One SQLite file, opened through `dataset`: every access is a `with` block, the schema is explicit.

`dataset` keeps a connection per thread until a transaction ends, reads take no lock back and schema changes
happen by themselves; the two blocks below and the migrations take all of that away. Inside a block use
`tx.query(sql, name=value)` with bound values, and `list()` the rows before the block ends.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import dataset
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from webapp.errors import HearthError
from webapp.store import backups

Migration = Sequence[str]

# The exceptions of reading and writing an opened database, as when the disk is full.
FAILURES = (SQLAlchemyError, sqlite3.Error, OSError)
JOURNALS = ("", "-wal", "-shm")
# Checking reads the whole file, 2.5 s for each GB: a larger one is checked only after a crash.
CHECKED_BYTES = 64_000_000


class CannotOpen(HearthError):
    """The file cannot be used as it is, as when a newer Hearth wrote it. It is left untouched."""

    kind = "broken"
    code = "cannot_open_database"


class _Damaged(HearthError):
    """The file is no database, or a broken one."""

    kind = "broken"


class Database:
    """An opened database at the newest schema. Migration n (counted from 1) leads to PRAGMA user_version n.

    A damaged file is moved aside, never overwritten: `set_aside` then says where it is. With `copies`, a folder, an
    older file is copied there before its schema changes.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration], copies: Path | None = None):
        self.path = path
        self.set_aside: Path | None = None
        self._copies = copies
        # SQLite has one writer at a time: wait here, in order, and not in its busy timeout.
        self._writing = threading.RLock()
        try:
            self._open(migrations)
        except _Damaged:
            self.set_aside = _set_aside(path)
            self._open(migrations)

    @contextmanager
    def write(self) -> Iterator[dataset.Database]:
        """A transaction that holds the write lock from its start, so that no other writer changes the rows it reads."""
        with self._writing:
            outermost = not self._dataset.in_transaction
            with self._dataset as tx:
                if outermost:
                    # Python's sqlite3 begins only before an INSERT or UPDATE, and never for CREATE TABLE.
                    tx.query("BEGIN IMMEDIATE")
                yield tx

    @contextmanager
    def read(self) -> Iterator[dataset.Database]:
        """A transaction for reads, which no writer blocks. The end of the block gives the connection back."""
        with self._dataset as tx:
            yield tx

    def close(self) -> None:
        """Close every connection; SQLite folds its log into the file."""
        with self._writing:
            if self._dataset.engine is not None:
                self._dataset.close()

    @property
    def used_bytes(self) -> int:
        """Bytes of the pages in use; free pages of the file do not count."""
        with self.read() as tx:
            return (_pragma(tx, "page_count") - _pragma(tx, "freelist_count")) * _pragma(tx, "page_size")

    def give_back(self, pages: int) -> bool:
        """Return at most `pages` free pages to the disk; True if there are more."""
        with self._writing, closing(sqlite3.connect(self.path, timeout=1)) as raw:
            # Python's execute() would stop after the first page.
            raw.executescript(f"PRAGMA incremental_vacuum({pages}); PRAGMA wal_checkpoint(TRUNCATE)")
            vacuum: int = raw.execute("PRAGMA auto_vacuum").fetchone()[0]
            return bool(vacuum and raw.execute("PRAGMA freelist_count").fetchone()[0])

    def _open(self, migrations: Sequence[Migration]) -> None:
        crashed = self.path.with_name(f"{self.path.name}-wal").exists()
        _make(self.path)
        self._dataset = dataset.connect(
            f"sqlite:///{self.path}",
            ensure_schema=False,
            # Errors reach the log, so they must not quote the text of people.
            engine_kwargs={"pool_size": 8, "max_overflow": -1, "hide_parameters": True},
            on_connect_statements=[
                "PRAGMA busy_timeout=10000",
                "PRAGMA synchronous=NORMAL",
                "PRAGMA foreign_keys=ON",
            ],
        )
        try:
            self._refuse_newer(len(migrations))
            if crashed or self.path.stat().st_size <= CHECKED_BYTES:
                self._refuse_damaged()
            self._migrate(migrations)
        except DatabaseError as error:
            self.close()
            if _is_damage(error):
                raise _Damaged from error
            raise CannotOpen(f"{self.path} cannot be opened as a database: {error.orig}") from error
        except HearthError:
            self.close()
            raise

    def _refuse_newer(self, known: int) -> None:
        with self.read() as tx:
            found = _pragma(tx, "user_version")
        if found > known:
            raise CannotOpen(
                f"{self.path} was written by a newer version of Hearth (schema {found}; this version "
                f"knows {known}). Update Hearth, or choose another data folder."
            )

    def _refuse_damaged(self) -> None:
        with self.read() as tx:
            if [row["quick_check"] for row in tx.query("PRAGMA quick_check(1)")] != ["ok"]:
                raise _Damaged

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        with self.read() as tx:
            found = _pragma(tx, "user_version")
        if 0 < found < len(migrations):
            self._copy_before_migrating(found)
        for version, statements in enumerate(migrations, start=1):
            with self.write() as tx:
                if _pragma(tx, "user_version") >= version:
                    continue
                for statement in statements:
                    tx.query(statement)
                tx.query(f"PRAGMA user_version = {version}")

    def _copy_before_migrating(self, version: int) -> None:
        if self._copies is None:
            return
        try:
            backups.copy(self.path, self._copies / f"{self.path.stem}-schema-{version}.db")
        except backups.FAILURES as error:
            raise CannotOpen(f"{self.path} must be copied before its schema changes, but: {error}") from error


def _pragma(tx: dataset.Database, name: str) -> int:
    (row,) = tx.query(f"PRAGMA {name}")
    return int(row[name])


def _is_damage(error: DatabaseError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _set_aside(path: Path) -> Path:
    """Rename the file and its journals alike, to a free name, and return the new path of the file."""
    stem = f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{stem}-{number}" if number > 1 else stem for number in itertools.count(1))
    aside = next(free for name in names if not (free := path.with_name(name)).exists())
    for journal in JOURNALS:
        beside = path.with_name(f"{path.name}{journal}")
        if beside.exists():
            beside.rename(f"{aside}{journal}")
    return aside


def _make(path: Path) -> None:
    """Make the file if it is missing, with mode 0600; SQLite gives its -wal and -shm files the same mode."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    if path.stat().st_size == 0:
        with closing(sqlite3.connect(path)) as raw:
            # `give_back` needs auto_vacuum, which only an empty file can adopt.
            raw.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
