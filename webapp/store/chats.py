"""Conversations on disk. Turns form a tree: regenerating adds a sibling, and `leaf` ends the path that pages show.

Knows rows only: nothing of models, threads or pages.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from webapp.store.database import Database

Status = Literal["running", "ok", "stopped", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation as the list shows it. `revision` grows with every visible change; `running` is not stored."""

    id: str
    title: str
    model: str
    think: bool | None
    created: float
    updated: float
    revision: int
    leaf: int | None
    running: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the person or the model. `siblings` are the ids of all answers to the same question."""

    id: int
    chat: str
    parent: int | None
    role: Literal["user", "assistant"]
    content: str
    reasoning: str
    model: str
    status: Status
    error: str | None
    created: float
    finish: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    ttft_seconds: float | None
    tokens_per_second: float | None
    siblings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an answer, with its token counts and times."""

    status: Status
    error: str | None = None
    finish: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    ttft_seconds: float | None = None
    tokens_per_second: float | None = None


_CHAT = "select id, title, model, think, created, updated, revision, leaf from chats"

_PATH = """with recursive path (id, depth) as (
      select leaf, 0 from chats where id = :chat
      union all
      select messages.parent, depth + 1 from messages join path on messages.id = path.id
      where messages.parent is not null)
    select messages.* from path join messages on messages.id = path.id order by depth desc"""

_NEWEST_BELOW = """with recursive below (id) as (
      values (:turn)
      union all
      select (select max(id) from messages where parent = below.id) from below where below.id is not null)
    select max(id) as leaf from below"""

_CHANGED = "update chats set revision = revision + 1, updated = :now where id = :chat"


class ChatRecords:
    """Reads and writes conversations."""

    def __init__(self, database: Database):
        self._database = database

    def recent(self, query: str = "", limit: int = 200) -> tuple[Chat, ...]:
        """Conversations, the last changed first; a query matches titles and the text of turns."""
        where, values = "where deleted is null", {}
        if query:
            where += """ and (title like :like escape '!' or exists (
                select 1 from messages where chat = chats.id and content like :like escape '!'))"""
            values["like"] = _like(query)
        with self._database.read() as tx:
            rows = list(tx.query(f"{_CHAT} {where} order by updated desc limit :limit", limit=limit, **values))
        return tuple(_chat(row) for row in rows)

    def find(self, chat_id: str) -> Chat | None:
        with self._database.read() as tx:
            rows = list(tx.query(f"{_CHAT} where id = :chat and deleted is null", chat=chat_id))
        return _chat(rows[0]) if rows else None

    def path(self, chat_id: str) -> tuple[Turn, ...]:
        """The turns shown, first to last."""
        with self._database.read() as tx:
            rows = list(tx.query(_PATH, chat=chat_id))
            answers = list(
                tx.query(
                    "select id, parent from messages where chat = :chat and role = 'assistant' order by id",
                    chat=chat_id,
                )
            )
        siblings: dict[int, list[int]] = {}
        for answer in answers:
            siblings.setdefault(answer["parent"], []).append(answer["id"])
        return tuple(_turn(row, siblings.get(row["parent"], ())) for row in rows)

    def turn(self, turn_id: int) -> Turn | None:
        with self._database.read() as tx:
            rows = list(tx.query("select * from messages where id = :id", id=turn_id))
        return _turn(rows[0], ()) if rows else None

    def open(self, chat_id: str, title: str, model: str, think: bool | None) -> None:
        """Make the conversation if it is new; in any case store its present model and `think`."""
        now = time.time()
        with self._database.write() as tx:
            tx.query(
                """insert into chats (id, title, model, think, created, updated, revision)
                values (:id, :title, :model, :think, :now, :now, 0)
                on conflict (id) do update set model = excluded.model, think = excluded.think, deleted = null""",
                id=chat_id,
                title=title,
                model=model,
                think=think,
                now=now,
            )

    def add_exchange(self, chat_id: str, text: str, model: str) -> int:
        """Add the person's turn and the empty answer to it in one transaction; returns the answer's id."""
        with self._database.write() as tx:
            leaf = next(iter(tx.query("select leaf from chats where id = :chat", chat=chat_id)))["leaf"]
            question = _insert(tx, chat_id, leaf, "user", text, "", "ok")
            return _insert(tx, chat_id, question, "assistant", "", model, "running")

    def add_answer(self, chat_id: str, parent: int, model: str, think: bool | None) -> int:
        """Add another, empty answer to the same question and return its id. Its model becomes the conversation's."""
        with self._database.write() as tx:
            tx.query(
                "update chats set model = :model, think = :think where id = :chat",
                chat=chat_id,
                model=model,
                think=think,
            )
            return _insert(tx, chat_id, parent, "assistant", "", model, "running")

    def save_text(self, turn_id: int, content: str, reasoning: str) -> None:
        with self._database.write() as tx:
            tx.query(
                "update messages set content = :content, reasoning = :reasoning where id = :id",
                id=turn_id,
                content=content,
                reasoning=reasoning,
            )

    def finish(self, chat_id: str, turn_id: int, content: str, reasoning: str, outcome: Outcome) -> None:
        measured = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
        assignments = ", ".join(f"{name} = :{name}" for name in measured)
        with self._database.write() as tx:
            tx.query(
                f"update messages set content = :content, reasoning = :reasoning, {assignments} where id = :id",
                id=turn_id,
                content=content,
                reasoning=reasoning,
                **measured,
            )
            tx.query(_CHANGED, chat=chat_id, now=time.time())

    def show(self, chat_id: str, turn_id: int) -> None:
        """Show the path that leads through this turn to the newest one below it."""
        with self._database.write() as tx:
            leaf = next(iter(tx.query(_NEWEST_BELOW, turn=turn_id)))["leaf"]
            tx.query("update chats set leaf = :leaf, revision = revision + 1 where id = :chat", chat=chat_id, leaf=leaf)

    def rename(self, chat_id: str, title: str) -> None:
        with self._database.write() as tx:
            tx.query(
                "update chats set title = :title, revision = revision + 1 where id = :chat", chat=chat_id, title=title
            )

    def delete(self, chat_id: str) -> None:
        """Hide the conversation. `restore` brings it back until the next start, which deletes its rows."""
        with self._database.write() as tx:
            tx.query("update chats set deleted = :now where id = :chat", chat=chat_id, now=time.time())

    def restore(self, chat_id: str) -> None:
        with self._database.write() as tx:
            tx.query("update chats set deleted = null where id = :chat", chat=chat_id)

    def mark_interrupted(self) -> None:
        """Mark running answers as interrupted. Call it at the start, before any answer runs."""
        with self._database.write() as tx:
            tx.query("update messages set status = 'interrupted' where status = 'running'")

    def purge_deleted(self) -> None:
        """Delete the rows of the hidden conversations, however long they are."""
        with self._database.write() as tx:
            # Otherwise each turn's deletion cascades to the next one, and SQLite gives up after 1,000.
            tx.query("update messages set parent = null where chat in (select id from chats where deleted is not null)")
            tx.query("delete from chats where deleted is not null")


def _insert(tx: Any, chat: str, parent: int | None, role: str, content: str, model: str, status: Status) -> int:
    now = time.time()
    turn_id = int(
        tx["messages"].insert(
            {
                "chat": chat,
                "parent": parent,
                "role": role,
                "content": content,
                "reasoning": "",
                "model": model,
                "status": status,
                "created": now,
            }
        )
    )
    tx.query("update chats set leaf = :leaf where id = :chat", leaf=turn_id, chat=chat)
    tx.query(_CHANGED, chat=chat, now=now)
    return turn_id


def _chat(row: Any) -> Chat:
    values = {field.name: row[field.name] for field in fields(Chat) if field.name != "running"}
    values["think"] = None if values["think"] is None else bool(values["think"])
    return Chat(**values)


def _turn(row: Any, siblings: Iterable[int]) -> Turn:
    values = {field.name: row[field.name] for field in fields(Turn) if field.name != "siblings"}
    return Turn(**values, siblings=tuple(siblings))


def _like(query: str) -> str:
    escaped = query.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"
