"""The saved settings: names and JSON values. `webapp.settings` knows their meaning and checks them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from webapp.store.database import Database

UPSERT = "INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value"


class SettingsStore:
    def __init__(self, database: Database):
        self._database = database

    def load(self) -> dict[str, object]:
        with self._database.read() as tx:
            rows = list(tx.query("SELECT name, value FROM settings"))
        return {row["name"]: json.loads(row["value"]) for row in rows}

    def save(self, values: Mapping[str, object], removed: Collection[str] = ()) -> None:
        """Store these values and delete the `removed` names, in one transaction."""
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        with self._database.write() as tx:
            for name, text in rows:
                tx.query(UPSERT, name=name, value=text)
            for name in removed:
                tx.query("DELETE FROM settings WHERE name = :name", name=name)
