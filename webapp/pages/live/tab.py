"""Knows what one open tab shows, and makes the partials that it needs next. Knows templates, not sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from html import escape

from flask import render_template

from webapp.chat.answers import LiveAnswer
from webapp.chat.conversations import Conversation
from webapp.pages import activity
from webapp.pages.chat import CHAT_ID, conversation_list, latest_turns, thread_values
from webapp.pages.drawing.markdown import GrowingMarkdown
from webapp.pages.drawing.words import short
from webapp.pages.live.tail import Tail
from webapp.pages.models import model_rows
from webapp.pages.profiles import profile_rows
from webapp.server import Server
from webapp.store.chats import Turn

STATUS_SECONDS = 0.5


def partial(target: str, swap: str, markup: str = "") -> str:
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{markup}</hx-partial>'


class Tab:
    """One open tab: `hear` takes its messages, and `news` yields the partials that bring it up to date."""

    def __init__(self, server: Server):
        self._server = server
        self.chat_id: str | None = None
        self._room = ""
        self._known: tuple[int, ...] | None = None
        self._first = 0
        self._seen = -1
        self._running: int | None = None
        self._following: Following | None = None
        self._last: dict[str, str] = {}
        self._status_at = float("-inf")
        self._tail: Tail | None = None

    def hear(self, message: str | bytes) -> None:
        """Take a message `{"room", "chat", "revision", "all"}`. With the newest revision the tab needs no thread."""
        try:
            said = json.loads(message)
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        chat_id, room = said.get("chat"), said.get("room")
        self.chat_id = chat_id if isinstance(chat_id, str) and CHAT_ID.fullmatch(chat_id) else None
        self._room = room if isinstance(room, str) else ""
        self._seen, self._running, self._following, self._last = -1, None, None, {}
        self._known, self._first = (), 0
        self._tail = Tail(self._server.audit, said.get("revision")) if self._room == "audit" else None
        if thread := self._thread():
            self._meet(thread, bool(said.get("all")), thread.chat.revision == said.get("revision"))

    def _meet(self, thread: Conversation, everything: bool, current: bool) -> None:
        """Remember the turns that the page shows, if it is current; otherwise `news` sends all of them."""
        turns = latest_turns(thread, everything)
        self._first = turns[0].id if turns else 0
        self._known = tuple(turn.id for turn in turns) if current else None
        self._running = thread.running.id if current and thread.running else None

    def news(self) -> Iterator[str]:
        if time.monotonic() - self._status_at >= STATUS_SECONDS:
            self._status_at = time.monotonic()
            yield from self._status()
        answer = self._server.chats.answer(self.chat_id) if self.chat_id else None
        revision = self._server.chats.list_revision
        if self.chat_id and revision != self._seen:
            self._seen = revision
            yield from self._list()
            thread = self._thread()
            if thread is not None:
                yield from self._changed(thread)
        if answer and answer.turn_id == self._running:
            yield from self._follow(answer)

    def _thread(self) -> Conversation | None:
        return self._server.chats.thread(self.chat_id) if self.chat_id else None

    def _status(self) -> Iterator[str]:
        snapshot = self._server.engine.snapshot
        yield from self._if_new("#hearth", render_template("partials/hearth.html", snapshot=snapshot))
        if self._room == "activity":
            for target, markup in activity.partials(self._server):
                yield from self._if_new(target, markup)
        if self._tail is not None and (news := "".join(partial(*part) for part in self._tail.news())):
            yield news
        if self._room == "models":
            yield from self._if_new("#models", render_template("partials/models.html", rows=model_rows(self._server)))
            profiles = render_template("partials/profiles.html", profiles=profile_rows(self._server))
            yield from self._if_new("#profiles", profiles)

    def _list(self) -> Iterator[str]:
        """Yield the conversation list if it changed. A list with the hits of a search stays as it is."""
        yield from self._if_new("#conversation-list[data-query='']", conversation_list("", self.chat_id))

    def _changed(self, thread: Conversation) -> Iterator[str]:
        values = thread_values(thread, thread.chat.id)
        yield from self._turns(thread, values)
        header = render_template("partials/chat_header.html", **values)
        yield from self._if_new("#chat-header", header, title=thread.chat.title)
        running = thread.running.id if thread.running else None
        if self._running not in (None, running):
            yield from self._ended(thread, values)
        self._running = running
        yield from self._if_new("#composer-action", render_template("partials/composer_action.html", **values))

    def _follow(self, answer: LiveAnswer) -> Iterator[str]:
        if self._following is None or self._following.turn_id != answer.turn_id:
            self._following = Following(answer.turn_id)
            yield partial("#announce", "innerHTML", f"{escape(short(answer.request.model))} is answering")
        yield from self._following.news(answer, self._server)

    def _turns(self, thread: Conversation, values: dict[str, object]) -> Iterator[str]:
        """Add and remove turns so that the tab shows exactly the thread's."""
        shown = tuple(turn for turn in thread.turns if turn.id >= self._first)
        ids = tuple(turn.id for turn in shown)
        known, self._known = self._known, ids
        if known is None:
            turns = "".join(_turn(turn, values) for turn in shown)
            yield partial("#thread", "innerMorph", turns)
            return
        same = sum(1 for _ in _while_equal(known, ids))
        parts = [partial(f"#turn-{turn_id}", "delete") for turn_id in known[same:]]
        if added := shown[same:]:
            parts.append(partial("#thread", "beforeend", "".join(_turn(turn, values) for turn in added)))
        if parts:
            yield "".join(parts)

    def _ended(self, thread: Conversation, values: dict[str, object]) -> Iterator[str]:
        """Send the whole answer again: only now are late links and loose lists right."""
        turn = next((turn for turn in thread.turns if turn.id == self._running), None)
        if turn is None:
            return
        yield partial(f"#turn-{turn.id}", "outerMorph", _turn(turn, values))
        words = len(turn.content.split())
        ending = {"ok": "Answer ready", "stopped": "Answer stopped"}.get(turn.status, "The answer failed")
        yield partial("#announce", "innerHTML", f"{ending}, {words} words")

    def _if_new(self, target: str, markup: str, title: str = "") -> Iterator[str]:
        if self._last.get(target) != markup:
            self._last[target] = markup
            heading = f"<title>{escape(title)} · Hearth</title>" if title else ""
            yield heading + partial(target, "outerMorph", markup)


class Following:
    """One running answer in a tab: finished blocks are appended, and the open tail is replaced by morphing."""

    def __init__(self, turn_id: int):
        self.turn_id = turn_id
        self._markdown = GrowingMarkdown()
        self._text = 0
        self._reasoning = -1
        self._state = ""

    def news(self, answer: LiveAnswer, server: Server) -> Iterator[str]:
        parts = [*self._new_reasoning(answer.reasoning), *self._new_text(answer.text)]
        state = phase(answer, server)
        if state != self._state:
            self._state = state
            parts.append(self._part("state", "innerHTML", escape(state)))
        if parts:
            yield "".join(parts)

    def _new_reasoning(self, reasoning: str) -> Iterator[str]:
        if self._reasoning < 0 and reasoning:
            thinking = render_template("partials/thinking.html", reasoning=reasoning, running=True)
            yield self._part("thinking-slot", "innerMorph", thinking)
        elif len(reasoning) > self._reasoning >= 0:
            yield self._part("reasoning", "beforeend", escape(reasoning[self._reasoning :]))
        self._reasoning = len(reasoning) or -1

    def _new_text(self, text: str) -> Iterator[str]:
        if len(text) == self._text:
            return
        finished, tail = self._markdown.feed(text[self._text :])
        first, self._text = self._text == 0, len(text)
        if first:
            yield self._part("done", "innerMorph", finished)
        elif finished:
            yield self._part("done", "beforeend", finished)
        yield self._part("tail", "innerMorph", tail)

    def _part(self, name: str, swap: str, markup: str) -> str:
        return partial(f"#turn-{self.turn_id} .{name}", swap, markup)


def phase(answer: LiveAnswer, server: Server) -> str:
    """Return a text about what happens before the first word, or ''."""
    if answer.text or answer.reasoning:
        return ""
    states = {model.id: model.state for model in server.engine.snapshot.models}
    if states.get(server.profiles.model_of(answer.request.model)) == "loading":
        return f"Loading {short(answer.request.model)}…"
    if answer.prefill and answer.prefill.total_tokens and answer.prefill.done_tokens < answer.prefill.total_tokens:
        return f"Reading the conversation, {100 * answer.prefill.done_tokens // answer.prefill.total_tokens} %"
    return "Starting…"


def _turn(turn: Turn, values: dict[str, object]) -> str:
    return render_template("partials/turn.html", turn=turn, **values)


def _while_equal(known: tuple[int, ...], ids: tuple[int, ...]) -> Iterator[int]:
    for before, after in zip(known, ids, strict=False):
        if before != after:
            return
        yield after
