"""The schema of hearth.db, as the steps that lead to it.

A step that was released is never edited: append another one. No colons in the statements, they mark bound values.
"""

from __future__ import annotations

from webapp.store.database import Migration

MIGRATIONS: tuple[Migration, ...] = (
    (
        # 1: saved settings, each value as JSON
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
)
