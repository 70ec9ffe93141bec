"""Live conversations: an answer belongs to the server, not to the tab that asked for it.

Each answer is written by its own thread, into memory for the tabs that watch and into `hearth.db` about
once a second. No HTML and no Flask in here; the pages render the partials.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from webapp.audit.trace import Content, Trace
from webapp.chat.answers import LiveAnswer, Watch
from webapp.errors import EngineStopped, HearthError, InvalidRequest
from webapp.generation import Finish, GenerationRequest, Message
from webapp.store.audit import AuditRow
from webapp.store.chats import Chat, ChatRecords, Outcome, Status, Turn
from webapp.store.database import FAILURES, Database
from webapp.stream import Stream

log = logging.getLogger(__name__)

SAVE_SECONDS = 1.0
TITLE_CHARACTERS = 60
PAGE = "page"
BROKE_OFF = Outcome("failed", error="Hearth failed while writing this answer. The log says why.")


class Generator(Protocol):
    """Answers requests; the router is one."""

    def generate(self, request: GenerationRequest) -> Stream: ...


class Audit(Protocol):
    """Stores the row of a finished request; the audit log is one."""

    def record(self, row: AuditRow, notes: Mapping[str, object], content: Content | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with the turns shown; a running answer carries its text so far."""

    chat: Chat
    turns: tuple[Turn, ...]

    @property
    def running(self) -> Turn | None:
        last = self.turns[-1] if self.turns else None
        return last if last and last.status == "running" else None


class Chats:
    """Starts, stops and remembers answers, and tells the watchers."""

    def __init__(self, store: Database, router: Generator, audit: Audit, save_seconds: float = SAVE_SECONDS):
        self._records = ChatRecords(store)
        self._router = router
        self._audit = audit
        self._save_seconds = save_seconds
        self._lock = threading.Lock()
        self._answers: dict[str, LiveAnswer] = {}
        self._watches: tuple[Watch, ...] = ()
        self._closing = False
        self.list_revision = 0
        self._recover()

    def _recover(self) -> None:
        """Clean up after the last run. A step that fails is logged and tried again at the next start."""
        for clean_up in (self._records.mark_interrupted, self._records.purge_deleted):
            try:
                clean_up()
            except FAILURES as error:
                log.error("the conversations could not be put in order: %s", error)

    # Asking and answering

    def start(self, chat_id: str, text: str, model: str, think: bool | None = None, owner: str | None = None) -> int:
        """Store the person's turn, begin the answer and return its id. `owner` is that of the `GenerationRequest`."""
        if not text.strip():
            raise InvalidRequest("Write a message first.", "text")
        with self._lock:
            self._refuse_while_running(chat_id)
            self._records.open(chat_id, _title(text), model, think)
            turn_id = self._records.add_exchange(chat_id, text, model)
            self._begin(chat_id, turn_id, model, think, owner)
        self._changed()
        return turn_id

    def regenerate(
        self, chat_id: str, turn_id: int, model: str, think: bool | None = None, owner: str | None = None
    ) -> int:
        """Answer the same question once more and return the new answer's id; the earlier answer stays as a sibling."""
        turn = self._records.turn(turn_id)
        if turn is None or turn.chat != chat_id or turn.role != "assistant" or turn.parent is None:
            raise InvalidRequest("There is no such answer in this conversation.", "answer")
        with self._lock:
            self._refuse_while_running(chat_id)
            new_id = self._records.add_answer(chat_id, turn.parent, model, think)
            self._begin(chat_id, new_id, model, think, owner)
        self._changed()
        return new_id

    def stop(self, chat_id: str) -> bool:
        """End the running answer and keep its text; False when nothing runs."""
        answer = self._answers.get(chat_id)
        if answer is None:
            return False
        answer.stop()
        return True

    # Reading

    def recent(self, query: str = "", limit: int = 200) -> tuple[Chat, ...]:
        chats = self._records.recent(query, limit)
        return tuple(replace(chat, running=chat.id in self._answers) for chat in chats)

    def thread(self, chat_id: str) -> Conversation | None:
        chat = self._records.find(chat_id)
        if chat is None:
            return None
        with self._lock:  # no answer may begin or end between the rows and what is live
            turns, answer = self._records.path(chat_id), self._answers.get(chat_id)
        return Conversation(chat, tuple(_as_it_is(turn, answer) for turn in turns))

    def chat(self, chat_id: str) -> Chat | None:
        return self._records.find(chat_id)

    def answer(self, chat_id: str) -> LiveAnswer | None:
        """The answer being written in this conversation, if one is."""
        return self._answers.get(chat_id)

    def show(self, chat_id: str, turn_id: int) -> None:
        turn = self._records.turn(turn_id)
        if turn is None or turn.chat != chat_id:
            raise InvalidRequest("There is no such answer in this conversation.", "answer")
        self._refuse_while_running(chat_id)
        self._records.show(chat_id, turn_id)
        self._changed()

    # Housekeeping

    def rename(self, chat_id: str, title: str) -> None:
        if not title.strip():
            raise InvalidRequest("A conversation needs a name.", "title")
        self._records.rename(chat_id, " ".join(title.split())[:200])
        self._changed()

    def delete(self, chat_id: str) -> None:
        self.stop(chat_id)
        self._records.delete(chat_id)
        self._changed()

    def restore(self, chat_id: str) -> None:
        self._records.restore(chat_id)
        self._changed()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        watch = Watch()
        with self._lock:
            self._watches = (*self._watches, watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches = tuple(other for other in self._watches if other is not watch)

    def close(self, timeout: float = 2.0) -> None:
        """End all running answers. Their text so far stays, marked as interrupted."""
        self._closing = True
        with self._lock:
            answers = list(self._answers.values())
        for answer in answers:
            answer.stop()
        deadline = time.monotonic() + timeout
        for answer in answers:
            answer.wait(max(0.0, deadline - time.monotonic()))

    # The writing thread

    def _refuse_while_running(self, chat_id: str) -> None:
        if chat_id in self._answers:
            raise InvalidRequest("An answer is still being written here. Stop it, or wait for its end.", "text")

    def _begin(self, chat_id: str, turn_id: int, model: str, think: bool | None, owner: str | None) -> None:
        options = {} if think is None else {"enable_thinking": think}
        request = GenerationRequest(
            id=f"chat-{uuid.uuid4().hex}",
            model=model,
            template_options=options,
            messages=_messages(self._records.path(chat_id)[:-1]),
            owner=owner,
        )
        answer = LiveAnswer(chat_id, turn_id, request, self._write)
        answer.begin()
        self._answers[chat_id] = answer  # it cannot end before: its end waits for the lock that is held here

    def _write(self, answer: LiveAnswer) -> None:
        """Runs on the answer's thread. An unforeseen exception ends the answer as well, and then reaches the log.

        On any failure the trace closes the stream, so that the engine does not decode for nobody.
        """
        outcome = BROKE_OFF
        trace = Trace(answer.request.id, answer.request.owner or PAGE, "/chat", self._audit.record, self._holder)
        trace.asks(answer.request)
        try:
            with trace:
                outcome = self._generate(answer, trace)
        except EngineStopped:
            outcome = Outcome("interrupted")
        except HearthError as error:
            outcome = Outcome("failed", error=f"{error} {error.advice}".rstrip())
        finally:
            self._conclude(answer, outcome)

    def _holder(self) -> str:
        return "shutdown" if self._closing else PAGE

    def _conclude(self, answer: LiveAnswer, outcome: Outcome) -> None:
        with self._lock:
            try:
                self._records.finish(answer.chat_id, answer.turn_id, answer.text, answer.reasoning, outcome)
            finally:
                del self._answers[answer.chat_id]
                self.list_revision += 1
                self._wake_all()

    def _generate(self, answer: LiveAnswer, trace: Trace) -> Outcome:
        saved = time.monotonic()
        stream = self._router.generate(answer.request)
        for event in answer.follow(stream, trace.follow(stream)):
            if isinstance(event, Finish):
                return self._outcome(event)
            self._tell(answer.chat_id)
            if time.monotonic() - saved >= self._save_seconds:
                saved = time.monotonic()
                self._records.save_text(answer.turn_id, answer.text, answer.reasoning)
        return BROKE_OFF

    def _outcome(self, finish: Finish) -> Outcome:
        usage, timing = finish.usage, finish.timing
        cut_off: Status = "interrupted" if self._closing else "stopped"
        return Outcome(
            status=cut_off if finish.reason == "cancelled" else "ok",
            finish=finish.reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            ttft_seconds=timing.ttft_seconds,
            tokens_per_second=timing.tokens_per_second(usage.completion_tokens),
        )

    # News

    def _tell(self, chat_id: str) -> None:
        for watch in self._watches:
            if watch.chat_id == chat_id:
                watch.wake()

    def _changed(self) -> None:
        with self._lock:
            self.list_revision += 1
            self._wake_all()

    def _wake_all(self) -> None:
        for watch in self._watches:
            watch.wake()


def _as_it_is(turn: Turn, answer: LiveAnswer | None) -> Turn:
    """The turn with its text so far; a turn that runs no more, but whose end was never stored, counts as failed."""
    if answer is not None and answer.turn_id == turn.id:
        return replace(turn, content=answer.text, reasoning=answer.reasoning)
    if turn.status == "running":
        return replace(turn, status=BROKE_OFF.status, error=BROKE_OFF.error)
    return turn


def _title(text: str) -> str:
    """The first words of the first message."""
    words = " ".join(text.split())
    if len(words) <= TITLE_CHARACTERS:
        return words
    return words[:TITLE_CHARACTERS].rsplit(" ", 1)[0] + "…"


def _messages(turns: Iterable[Turn]) -> tuple[Message, ...]:
    """The messages for the model. Leaves out answers that failed empty and joins the questions around them,
    because many templates refuse two user turns in a row."""
    messages: list[Message] = []
    for turn in turns:
        if turn.role == "assistant" and not turn.content:
            continue
        if messages and messages[-1].role == turn.role:
            messages[-1] = Message.of(turn.role, f"{messages[-1].text}\n\n{turn.content}")
        else:
            messages.append(Message.of(turn.role, turn.content))
    return tuple(messages)
