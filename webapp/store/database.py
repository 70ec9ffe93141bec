"""One SQLite file, opened through `dataset`: every access is a `with` block, the schema is explicit.

`dataset` keeps a connection per thread until a transaction ends, reads take no lock back and schema changes
happen by themselves; the two blocks below and the migrations take all of that away. Inside a block use
`tx.query(sql, name=value)` with bound values, and `list()` the rows before the block ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dataset
from sqlalchemy.exc import DatabaseError

from webapp.errors import HearthError

Migration = Sequence[str]


class CannotOpen(HearthError):
    """The file is no database, or a newer Hearth wrote it. It is left untouched."""

    code = "cannot_open_database"


class Database:
    """An opened database at the newest schema. Migration n (counted from 1) leads to PRAGMA user_version n."""

    def __init__(self, path: Path, migrations: Sequence[Migration]):
        self.path = path
        _make_private(path)
        # SQLite has one writer at a time: wait here, in order, and not in its busy timeout.
        self._writing = threading.RLock()
        self._dataset = dataset.connect(
            f"sqlite:///{path}",
            ensure_schema=False,
            # Errors reach the log: they must not carry what people wrote.
            engine_kwargs={"pool_size": 8, "max_overflow": -1, "hide_parameters": True},
            on_connect_statements=[
                "PRAGMA busy_timeout=10000",
                "PRAGMA synchronous=NORMAL",
                "PRAGMA foreign_keys=ON",
            ],
        )
        try:
            self._migrate(migrations)
        except DatabaseError as error:
            self.close()
            raise CannotOpen(f"{path} cannot be opened as a database: {error.orig}") from error
        except CannotOpen:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[dataset.Database]:
        """A transaction that holds the write lock from its start: what it reads cannot change under it."""
        with self._writing:
            outermost = not self._dataset.in_transaction
            with self._dataset as tx:
                if outermost:
                    # Python's sqlite3 begins only before an INSERT or UPDATE, and never for CREATE TABLE.
                    tx.query("BEGIN IMMEDIATE")
                yield tx

    @contextmanager
    def read(self) -> Iterator[dataset.Database]:
        """Reads, never blocked by a writer; leaving the block gives the connection back."""
        with self._dataset as tx:
            yield tx

    def close(self) -> None:
        """Close every connection; SQLite folds its log into the file."""
        with self._writing:
            if self._dataset.engine is not None:
                self._dataset.close()

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        for version, statements in enumerate(migrations, start=1):
            with self.write() as tx:
                found = _user_version(tx)
                if found > len(migrations):
                    raise CannotOpen(
                        f"{self.path} was written by a newer version of Hearth (schema {found}; this version "
                        f"knows {len(migrations)}). Update Hearth, or choose another data folder."
                    )
                if found >= version:
                    continue
                for statement in statements:
                    tx.query(statement)
                tx.query(f"PRAGMA user_version = {version}")


def _user_version(tx: dataset.Database) -> int:
    (row,) = tx.query("PRAGMA user_version")
    return int(row["user_version"])


def _make_private(path: Path) -> None:
    """Only the user may read it; SQLite gives its -wal and -shm files the same mode."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
