"""The rows of API keys and signed-in browsers, with hashes of their secrets. `webapp.people` decides on rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import dataset

from webapp.store.database import Database

INSERT = (
    "INSERT INTO keys (name, hash, hint, scope, models, created, expires) "
    "VALUES (:name, :hash, :hint, :scope, :models, :created, :expires) ON CONFLICT (name) DO NOTHING RETURNING name"
)


@dataclass(frozen=True, slots=True)
class SavedKey:
    """A row of a key. `hint` is the start of the secret, for people; `models` are what it may use, empty for all."""

    name: str
    hash: str
    hint: str
    scope: str
    models: tuple[str, ...]
    created: float
    expires: float | None
    used: float | None = None


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A signed-in browser. `key` is the name of the key it signed in with, or None for this computer's owner."""

    hash: str
    key: str | None
    expires: float


class KeyStore:
    def __init__(self, database: Database):
        self._database = database

    def load(self) -> tuple[list[SavedKey], list[SavedSession]]:
        """All keys, oldest first, and all sessions, read in one transaction."""
        with self._database.read() as tx:
            return _keys_in(tx), [SavedSession(**row) for row in tx.query("SELECT * FROM sessions")]

    def add(self, key: SavedKey) -> bool:
        """Store a new key; False if one of this name exists."""
        with self._database.write() as tx:
            added = tx.query(
                INSERT,
                name=key.name,
                hash=key.hash,
                hint=key.hint,
                scope=key.scope,
                models=json.dumps(key.models),
                created=key.created,
                expires=key.expires,
            )
            return bool(list(added))

    def delete(self, name: str, check: Callable[[SavedKey, Sequence[SavedKey]], None]) -> SavedKey | None:
        """Delete a key and its sessions, and return it; None if there is none of this name.

        Calls `check` with the key and the remaining ones inside the transaction, so that no process changes them in
        between. If `check` raises, the key stays.
        """
        with self._database.write() as tx:
            keys = _keys_in(tx)
            gone = next((key for key in keys if key.name == name), None)
            if gone is not None:
                check(gone, [key for key in keys if key is not gone])
                tx.query("DELETE FROM keys WHERE name = :name", name=name)
        return gone

    def note_use(self, name: str, moment: float) -> None:
        with self._database.write() as tx:
            tx.query("UPDATE keys SET used = :moment WHERE name = :name", name=name, moment=moment)

    def add_session(self, session: SavedSession, now: float) -> None:
        """Store a session and delete the expired ones."""
        with self._database.write() as tx:
            tx.query("DELETE FROM sessions WHERE expires < :now", now=now)
            tx.query(
                "INSERT INTO sessions (hash, key, expires) VALUES (:hash, :key, :expires)",
                hash=session.hash,
                key=session.key,
                expires=session.expires,
            )

    def delete_session(self, hash: str) -> None:
        with self._database.write() as tx:
            tx.query("DELETE FROM sessions WHERE hash = :hash", hash=hash)


def _keys_in(tx: dataset.Database) -> list[SavedKey]:
    """All keys, oldest first."""
    keys = [SavedKey(**row) for row in tx.query("SELECT * FROM keys ORDER BY created, name")]
    return [replace(key, models=tuple(json.loads(str(key.models)))) for key in keys]
