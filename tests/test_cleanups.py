"""What is cleaned up at a start never stops it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from webapp.paths import DataDir
from webapp.server import Options, Server
from webapp.store.database import Database
from webapp.store.schema import AUDIT, MIGRATIONS

TURNS = 5000
SCHEMA_OF_THE_FAULT = 6
CHAT = "insert into chats (id, title, model, created, updated, revision) values (:chat, 'Title', 'any', 0, 0, 0)"
# Each turn answers the one before.
CONVERSE = """with recursive turns (id) as (values (1) union all select id + 1 from turns where id < :turns)
    insert into messages (id, chat, parent, role, content, reasoning, model, status, created)
    select id, :chat, nullif(id - 1, 0), 'user', 'Said', '', 'any', 'running', 0 from turns"""
DELETED = "update chats set deleted = 1"
OLD_RESPONSE = """insert into responses (id, owner, previous, created, bytes, input, response)
    values ('old', null, null, 0, 2, '[]', '{}')"""


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir.at(tmp_path)


def converse(database: Database, chat: str, turns: int) -> None:
    with database.write() as tx:
        tx.query(CHAT, chat=chat)
        tx.query(CONVERSE, chat=chat, turns=turns)


def started_once(data: DataDir) -> None:
    Server(Options(), data).close()


def rows(data: DataDir, table: str) -> int:
    with closing(sqlite3.connect(data.database)) as raw:
        return int(raw.execute(f"select count(*) from {table}").fetchone()[0])


def run_statements(data: DataDir, *statements: str) -> None:
    with closing(sqlite3.connect(data.database)) as raw:
        for statement in statements:
            raw.execute(statement)
        raw.commit()


def test_a_long_conversation_that_was_deleted_goes_at_the_next_start(data: DataDir) -> None:
    server = Server(Options(), data)
    converse(server.store, "long-chat", TURNS)
    server.chats.delete("long-chat")
    server.close()
    assert rows(data, "messages") == TURNS
    started_once(data)
    assert (rows(data, "chats"), rows(data, "messages")) == (0, 0)


def test_a_database_that_could_not_be_started_with_any_more_is(data: DataDir) -> None:
    before = Database(data.database, MIGRATIONS[:SCHEMA_OF_THE_FAULT])
    converse(before, "long-chat", TURNS)
    before.close()
    run_statements(data, DELETED, CHAT.replace(":chat", "'kept'"))
    started_once(data)
    with closing(sqlite3.connect(data.database)) as raw:
        assert raw.execute("select id from chats").fetchall() == [("kept",)]
    assert rows(data, "messages") == 0


@pytest.mark.parametrize("refused", ["update on messages", "delete on chats", "delete on responses"])
def test_a_clean_up_that_fails_is_logged_and_the_others_are_done(
    data: DataDir, refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = Database(data.database, MIGRATIONS)
    converse(before, "running", 2)
    before.close()
    trigger = f"create trigger refusal before {refused} begin select raise(abort, 'no, said the disk'); end"
    run_statements(data, CHAT.replace(":chat", "'gone'"), f"{DELETED} where id = 'gone'", OLD_RESPONSE, trigger)
    started_once(data)
    assert "no, said the disk" in caplog.text
    running = rows(data, "messages where status = 'running'")
    left = (running, rows(data, "chats"), rows(data, "responses"))
    assert (
        left
        == {
            "update on messages": (2, 1, 0),
            "delete on chats": (0, 2, 0),
            "delete on responses": (0, 1, 1),
        }[refused]
    )
    run_statements(data, "drop trigger refusal")
    started_once(data)
    assert (rows(data, "messages where status = 'running'"), rows(data, "chats"), rows(data, "responses")) == (0, 1, 0)


def test_a_notice_that_cannot_be_kept_is_logged(data: DataDir, caplog: pytest.LogCaptureFixture) -> None:
    Database(data.database, MIGRATIONS).close()
    Database(data.audit_database, AUDIT).close()
    data.audit_database.write_bytes(b"no database" * 1000)
    run_statements(data, "create trigger refusal before insert on notices begin select raise(abort, 'no'); end")
    started_once(data)
    assert "audit.db was damaged" in caplog.text
