"""The schemas of hearth.db and audit.db, as the steps that lead to them.

A step that was released is never edited: append another one. No colons in the statements, they mark bound values.
"""

from __future__ import annotations

from webapp.store.database import Migration

MIGRATIONS: tuple[Migration, ...] = (
    (
        # 1: saved settings, each value as JSON
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        # 2: conversations; turns form a tree, `leaf` is the end of the path that is shown
        """CREATE TABLE chats (
            id TEXT PRIMARY KEY, title TEXT NOT NULL, model TEXT NOT NULL, think INTEGER,
            created REAL NOT NULL, updated REAL NOT NULL, revision INTEGER NOT NULL,
            leaf INTEGER, deleted REAL) WITHOUT ROWID""",
        """CREATE TABLE messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            chat TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
            parent INTEGER REFERENCES messages (id) ON DELETE CASCADE,
            role TEXT NOT NULL, content TEXT NOT NULL, reasoning TEXT NOT NULL, model TEXT NOT NULL,
            status TEXT NOT NULL, error TEXT, created REAL NOT NULL, finish TEXT,
            prompt_tokens INTEGER, completion_tokens INTEGER, cached_tokens INTEGER,
            ttft_seconds REAL, tokens_per_second REAL)""",
        "CREATE INDEX messages_by_chat ON messages (chat, id)",
        "CREATE INDEX messages_by_parent ON messages (parent)",
        "CREATE INDEX messages_running ON messages (chat) WHERE status = 'running'",
        "CREATE INDEX chats_by_time ON chats (updated)",
    ),
    (
        # 3: profiles; what one sets besides its model is JSON, so that a new choice needs no new column
        "CREATE TABLE profiles (name TEXT PRIMARY KEY, model TEXT NOT NULL, choices TEXT NOT NULL, "
        "created INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        # 4: what the pages say until somebody dismisses it
        "CREATE TABLE notices (id INTEGER PRIMARY KEY, text TEXT NOT NULL, created REAL NOT NULL)",
    ),
    (
        # 5: API keys and the browsers signed in, by hashes of their secrets; a session without a key belongs to
        # whoever proved to be this computer's owner
        """CREATE TABLE keys (
            name TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, hint TEXT NOT NULL, scope TEXT NOT NULL,
            models TEXT NOT NULL, created REAL NOT NULL, expires REAL, used REAL) WITHOUT ROWID""",
        """CREATE TABLE sessions (
            hash TEXT PRIMARY KEY, key TEXT REFERENCES keys (name) ON DELETE CASCADE,
            expires REAL NOT NULL) WITHOUT ROWID""",
    ),
    (
        # 6: answers of /v1/responses with what was asked, for those who go on from them; they go with the key that
        # asked, and those without one belong to whoever sits before this machine
        """CREATE TABLE responses (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
            owner TEXT REFERENCES keys (name) ON DELETE CASCADE,
            previous TEXT, created REAL NOT NULL, bytes INTEGER NOT NULL,
            input TEXT NOT NULL, response TEXT NOT NULL)""",
    ),
    (
        # 7: some sessions without a key were given to whoever had one; which they are, nobody can tell any more
        "DELETE FROM sessions WHERE key IS NULL",
    ),
)

AUDIT: tuple[Migration, ...] = (
    (
        # 1: one row for each request and each act of administration. Ids are random: an index of them would cost as
        # much as all the rest; looking from the newest on finds what people ask for.
        """CREATE TABLE audit (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, endpoint TEXT NOT NULL,
            model TEXT, answered_by TEXT, provider TEXT, status TEXT NOT NULL, code TEXT,
            queue_ms REAL, ttft_ms REAL, duration_ms REAL,
            prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, reasoning_tokens INTEGER,
            detail TEXT)""",
        "CREATE INDEX audit_by_time ON audit (time)",
    ),
)
