"""A real server object (store, settings, catalog, engine at rest) whose chats get scripted answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue

import pytest
from flask.testing import FlaskClient

from tests.conftest import QWEN
from webapp.app import create_app
from webapp.audit.trace import Content
from webapp.chat.conversations import Chats
from webapp.errors import HearthError
from webapp.generation import Event, Finish, FinishReason, GenerationRequest, Reasoning, Text, Timing, Usage
from webapp.paths import DataDir
from webapp.server import Options, Server
from webapp.store.audit import AuditRow
from webapp.stream import Stream

CHAT = "chat-0001"


def finish(reason: FinishReason = "stop") -> Finish:
    return Finish(reason, Usage(40, 12, cached_tokens=30), Timing(0.01, 0.25, 1.35))


class Scripted:
    """A generator whose answers are written by the test, event by event."""

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self.refusal: HearthError | None = None
        self.cancelled = 0
        self._feeds: list[SimpleQueue[Event | HearthError]] = []

    def generate(self, request: GenerationRequest) -> Stream:
        if self.refusal:
            raise self.refusal
        feed: SimpleQueue[Event | HearthError] = SimpleQueue()
        self.requests.append(request)
        self._feeds.append(feed)
        return Stream(self._events(feed), cancel=lambda: self._cancel(feed))

    def _cancel(self, feed: SimpleQueue[Event | HearthError]) -> None:
        self.cancelled += 1
        feed.put(finish("cancelled"))

    def say(self, *texts: str) -> None:
        for text in texts:
            self.feed(Text(text))

    def think(self, text: str) -> None:
        self.feed(Reasoning(text))

    def end(self, reason: FinishReason = "stop") -> None:
        self.feed(finish(reason))

    def feed(self, event: Event | HearthError) -> None:
        until(lambda: bool(self._feeds))
        self._feeds[-1].put(event)

    def _events(self, feed: SimpleQueue[Event | HearthError]) -> Iterator[Event]:
        while True:
            event = feed.get(timeout=10)
            if isinstance(event, HearthError):
                raise event
            yield event
            if isinstance(event, Finish):
                return


class Rows:
    """An audit that only remembers."""

    def __init__(self) -> None:
        self.kept: list[tuple[AuditRow, Mapping[str, object], Content | None]] = []

    def record(self, row: AuditRow, notes: Mapping[str, object], content: Content | None) -> None:
        self.kept.append((row, notes, content))


def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.002)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def server(tmp_path: Path, models_dir: Path, scripted: Scripted) -> Iterator[Server]:
    server = Server(Options((models_dir,), {}, {"HEARTH_MAX_WAITING": "7"}), DataDir.at(tmp_path))
    server.chats = Chats(server.store, scripted, server.audit)
    yield server
    server.chats.close()
    server.close()


@pytest.fixture
def client(server: Server) -> FlaskClient:
    return create_app(server).test_client()


@pytest.fixture
def answered(server: Server, scripted: Scripted) -> int:
    """A conversation with one finished answer; the answer's id."""
    answer = server.chats.start(CHAT, "What is a *hearth*?", QWEN)
    scripted.say("A **fire", "place**.")
    scripted.end()
    until(lambda: server.chats.answer(CHAT) is None)
    return answer
