"""The saved profiles: a name, a model, and its other choices as JSON. Knows nothing of their meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from webapp.store.database import Database

INSERT = "INSERT INTO profiles (name, model, choices, created) VALUES (:name, :model, :choices, :created)"


@dataclass(frozen=True, slots=True)
class SavedProfile:
    name: str
    model: str
    choices: Mapping[str, object]
    created: int


class ProfileStore:
    def __init__(self, database: Database):
        self._database = database

    def load(self) -> list[SavedProfile]:
        with self._database.read() as tx:
            rows = list(tx.query("SELECT name, model, choices, created FROM profiles"))
        return [SavedProfile(**{**row, "choices": json.loads(row["choices"])}) for row in rows]

    def save(self, profile: SavedProfile, instead_of: str | None = None) -> None:
        """Store a profile, and delete the one named `instead_of`, in one transaction."""
        choices = json.dumps(dict(profile.choices))
        with self._database.write() as tx:
            tx.query("DELETE FROM profiles WHERE name = :name", name=instead_of)
            tx.query(INSERT, name=profile.name, model=profile.model, choices=choices, created=profile.created)

    def delete(self, name: str) -> None:
        with self._database.write() as tx:
            tx.query("DELETE FROM profiles WHERE name = :name", name=name)
