"""Live conversations over a real store; the answers are scripted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.pages.conftest import CHAT, Rows, Scripted, finish, until
from webapp.audit.trace import Content
from webapp.chat.answers import Watch
from webapp.chat.conversations import Chats, Conversation
from webapp.errors import EngineStopped, HearthError, InvalidRequest, ModelNotFound, OutOfMemory
from webapp.generation import Message, Prefill
from webapp.store.audit import AuditRow
from webapp.store.database import Database
from webapp.store.schema import MIGRATIONS

MODEL = "tests/any"


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def store(tmp_path: Path) -> Database:
    return Database(tmp_path / "hearth.db", MIGRATIONS)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def live(store: Database, scripted: Scripted, rows: Rows) -> Chats:
    return Chats(store, scripted, rows)


def thread(live: Chats) -> Conversation:
    found = live.thread(CHAT)
    assert found is not None
    return found


def ended(live: Chats) -> Conversation:
    until(lambda: live.answer(CHAT) is None)
    return thread(live)


def test_an_answer_is_written_and_kept_with_what_was_measured(live: Chats, scripted: Scripted) -> None:
    answer_id = live.start(CHAT, "What is a hearth?", MODEL)
    scripted.feed(Prefill(4, 8))
    scripted.think("A place. ")
    scripted.say("A fire", "place.")
    until(lambda: thread(live).turns[-1].content == "A fireplace.")
    assert thread(live).running is not None
    scripted.end()
    question, answer = ended(live).turns
    assert (question.role, question.content) == ("user", "What is a hearth?")
    assert (answer.id, answer.content, answer.reasoning) == (answer_id, "A fireplace.", "A place. ")
    assert (answer.status, answer.finish, answer.completion_tokens, answer.cached_tokens) == ("ok", "stop", 12, 30)
    assert answer.tokens_per_second == pytest.approx(10)


def test_the_conversation_is_told_to_the_model(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "I am Ada.", MODEL, think=True)
    scripted.say("Hello Ada.")
    scripted.end()
    ended(live)
    live.start(CHAT, "Who am I?", MODEL)
    until(lambda: len(scripted.requests) == 2)
    assert scripted.requests[0].template_options == {"enable_thinking": True}
    assert scripted.requests[1].template_options == {}
    assert scripted.requests[1].messages == (
        Message.of("user", "I am Ada."),
        Message.of("assistant", "Hello Ada."),
        Message.of("user", "Who am I?"),
    )
    scripted.end()


def test_a_question_without_an_answer_is_joined_with_the_next(live: Chats, scripted: Scripted) -> None:
    scripted.refusal = ModelNotFound(MODEL)
    live.start(CHAT, "One", MODEL)
    assert ended(live).turns[-1].status == "failed"
    scripted.refusal = None
    live.start(CHAT, "Two", MODEL)
    until(lambda: bool(scripted.requests))
    assert scripted.requests[0].messages == (Message.of("user", "One\n\nTwo"),)
    scripted.end()


@pytest.mark.parametrize("error", [ModelNotFound("x"), OutOfMemory("It needs 8 GB; 4 GB are free.")])
def test_a_failure_keeps_the_text_and_says_why(live: Chats, scripted: Scripted, error: HearthError) -> None:
    live.start(CHAT, "Hello", MODEL)
    scripted.say("Half an ans")
    scripted.feed(error)
    answer = ended(live).turns[-1]
    assert (answer.status, answer.content) == ("failed", "Half an ans")
    assert (answer.error or "").startswith(str(error)) and "Choose" in (answer.error or "")


def test_stop_keeps_the_text(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "Hello", MODEL)
    scripted.say("So far")
    until(lambda: thread(live).turns[-1].content == "So far")
    assert live.stop(CHAT)
    answer = ended(live).turns[-1]
    assert (answer.status, answer.content) == ("stopped", "So far")
    assert not live.stop(CHAT)


def test_stop_before_the_stream_exists_counts(store: Database) -> None:
    may_go = threading.Event()

    class Slow(Scripted):
        def generate(self, request):  # type: ignore[no-untyped-def]
            may_go.wait(5)
            return super().generate(request)

    live = Chats(store, Slow(), Rows())
    live.start(CHAT, "Hello", MODEL)
    live.stop(CHAT)
    may_go.set()
    assert ended(live).turns[-1].status == "stopped"


def test_one_answer_at_a_time(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "Hello", MODEL)
    with pytest.raises(InvalidRequest):
        live.start(CHAT, "Again", MODEL)
    assert len(thread(live).turns) == 2
    scripted.end()
    ended(live)


def test_nothing_is_not_a_message(live: Chats) -> None:
    with pytest.raises(InvalidRequest):
        live.start(CHAT, " \n", MODEL)
    assert live.thread(CHAT) is None


def test_answering_again_keeps_the_earlier_answer(live: Chats, scripted: Scripted) -> None:
    first = live.start(CHAT, "A number", MODEL)
    scripted.say("One")
    scripted.end()
    ended(live)
    second = live.regenerate(CHAT, first, MODEL)
    until(lambda: len(scripted.requests) == 2)
    assert scripted.requests[1].messages == (Message.of("user", "A number"),)
    scripted.say("Two")
    scripted.end()
    answer = ended(live).turns[-1]
    assert (answer.content, answer.siblings) == ("Two", (first, second))
    live.show(CHAT, first)
    assert thread(live).turns[-1].content == "One"


def test_going_on_below_one_of_two_answers_keeps_both_ways(live: Chats, scripted: Scripted) -> None:
    first = live.start(CHAT, "A number", MODEL)
    scripted.end()
    ended(live)
    second = live.regenerate(CHAT, first, MODEL)
    until(lambda: len(scripted.requests) == 2)
    scripted.end()
    ended(live)
    below = live.start(CHAT, "And then", MODEL)
    until(lambda: len(scripted.requests) == 3)
    scripted.end()
    ended(live)
    live.show(CHAT, first)
    assert [turn.id for turn in thread(live).turns][1:] == [first]
    live.show(CHAT, second)
    assert thread(live).turns[-1].id == below


def test_watchers_hear_of_their_conversation_and_of_the_list(live: Chats, scripted: Scripted) -> None:
    with live.watch() as here, live.watch() as elsewhere:
        here.chat_id = CHAT
        before = live.list_revision
        live.start(CHAT, "Hello", MODEL)
        assert live.list_revision > before
        for watch in (here, elsewhere):
            watch.wait(0)
        scripted.say("Hi")
        assert woken(here)
        assert not woken(elsewhere, 0.05)
        scripted.end()
        assert woken(elsewhere)


def woken(watch: Watch, seconds: float = 2.0) -> bool:
    return watch._news.wait(seconds)


def test_text_is_saved_while_it_is_written(store: Database, scripted: Scripted) -> None:
    live = Chats(store, scripted, Rows(), save_seconds=0)
    live.start(CHAT, "Hello", MODEL)
    scripted.say("Some text")
    with store.read() as tx:
        until(
            lambda: [row["content"] for row in tx.query("select content from messages where id = 2")] == ["Some text"]
        )
    scripted.end()
    ended(live)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("saves_per_answer", ["none", "all but the last"])
def test_a_full_disk_ends_the_answer_and_wedges_nothing(
    store: Database, scripted: Scripted, saves_per_answer: str
) -> None:
    live = Chats(store, scripted, Rows(), save_seconds=0)
    column = "content" if saves_per_answer == "none" else "status"
    with store.write() as tx:
        tx.query(f"create trigger full before update of {column} on messages begin select raise(abort, 'full'); end")
    live.start(CHAT, "Hello", MODEL)
    scripted.say("Some text")
    if column == "status":
        scripted.end()
    found = ended(live)
    assert scripted.cancelled == (column == "content"), "the engine would generate on"
    assert found.running is None
    assert (found.turns[-1].status, live.recent()[0].running) == ("failed", False)
    assert "The log says why" in (found.turns[-1].error or "")
    with store.write() as tx:
        tx.query("drop trigger full")
    live.start(CHAT, "Once more", MODEL)
    until(lambda: len(scripted.requests) == 2)
    assert live.recent()[0].running
    scripted.end()
    assert ended(live).turns[-1].status == "ok"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_foresaw_ends_the_answer_too(store: Database) -> None:
    class Broken(Scripted):
        def generate(self, request):  # type: ignore[no-untyped-def]
            raise RuntimeError

    live = Chats(store, Broken(), Rows())
    live.start(CHAT, "Hello", MODEL)
    assert ended(live).turns[-1].status == "failed"


def test_answering_again_keeps_the_choice_and_stays_in_its_conversation(live: Chats, scripted: Scripted) -> None:
    first = live.start(CHAT, "A number", MODEL)
    scripted.end()
    ended(live)
    with pytest.raises(InvalidRequest):
        live.regenerate("chat-0002", first, MODEL)
    live.regenerate(CHAT, first, "tests/other", think=True)
    assert (thread(live).chat.model, thread(live).chat.think) == ("tests/other", True)
    until(lambda: len(scripted.requests) == 2)
    scripted.end()
    ended(live)


def test_what_ran_at_the_end_is_marked_at_the_next_start(live: Chats, store: Database, scripted: Scripted) -> None:
    live.start(CHAT, "Hello", MODEL)
    found = Chats(store, scripted, Rows()).thread(CHAT)
    assert found is not None
    assert found.turns[-1].status == "interrupted"
    scripted.end()
    ended(live)


def test_closing_ends_what_runs(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "Hello", MODEL)
    until(lambda: bool(scripted.requests))
    live.close()
    assert thread(live).turns[-1].status == "interrupted"


def test_an_engine_that_stops_interrupts(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "Hello", MODEL)
    scripted.feed(EngineStopped("Hearth is shutting down."))
    assert ended(live).turns[-1].status == "interrupted"


def test_a_deleted_conversation_can_come_back_until_the_next_start(
    live: Chats, store: Database, scripted: Scripted
) -> None:
    live.start(CHAT, "Hello", MODEL)
    scripted.end()
    ended(live)
    live.delete(CHAT)
    assert live.thread(CHAT) is None
    assert live.recent() == ()
    live.restore(CHAT)
    assert len(thread(live).turns) == 2
    live.delete(CHAT)
    Chats(store, scripted, Rows()).restore(CHAT)
    assert live.thread(CHAT) is None
    with store.read() as tx:
        assert list(tx.query("select id from messages")) == []


def test_search_finds_titles_and_what_was_said(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "Talk of 100% wool_en socks", MODEL)
    scripted.say("Merino is fine.")
    scripted.end()
    ended(live)
    live.rename(CHAT, "  Winter\nclothes ")
    assert [chat.title for chat in live.recent("winter")] == ["Winter clothes"]
    assert live.recent("merino")
    assert live.recent("100%")
    assert not live.recent("100% cotton")
    assert not live.recent("wool-en")
    assert not live.recent("%s%s%s%")


def test_the_title_is_the_first_words(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "word " * 40, MODEL)
    title = thread(live).chat.title
    assert title.endswith("word…") and len(title) <= 61
    scripted.end()
    ended(live)


def test_finish_words(live: Chats, scripted: Scripted) -> None:
    live.start(CHAT, "Hello", MODEL)
    scripted.feed(finish("length"))
    answer = ended(live).turns[-1]
    assert (answer.status, answer.finish) == ("ok", "length")


def ended_row(live: Chats, rows: Rows) -> tuple[AuditRow, Mapping[str, object], Content | None]:
    """The one row, which is there before anybody can know that the answer has ended."""
    ended(live)
    (kept,) = rows.kept
    return kept


def test_an_answer_leaves_a_row_in_the_audit(live: Chats, scripted: Scripted, rows: Rows) -> None:
    live.start(CHAT, "What is a hearth?", MODEL)
    scripted.think("Hm.")
    scripted.say("A fire", "place.")
    scripted.end()
    row, notes, content = ended_row(live, rows)
    assert (row.kind, row.who, row.endpoint, row.model) == ("request", "page", "/chat", MODEL)
    assert (row.status, row.code, row.completion_tokens, row.ttft_ms) == ("ok", "stop", 12, 250)
    asked = {"messages": [{"role": "user", "content": "What is a hearth?"}]}
    assert (notes, content) == ({}, Content(asked, "A fireplace.", "Hm."))


@pytest.mark.parametrize(("owner", "who"), [(None, "page"), ("laptop", "laptop")])
def test_an_answer_belongs_to_who_asked(
    live: Chats, scripted: Scripted, rows: Rows, owner: str | None, who: str
) -> None:
    first = live.start(CHAT, "Hi", MODEL, owner=owner)
    scripted.end()
    assert ended_row(live, rows)[0].who == who
    live.regenerate(CHAT, first, MODEL, owner="other")
    until(lambda: len(scripted.requests) == 2)
    scripted.end()
    ended(live)
    assert [request.owner for request in scripted.requests] == [owner, "other"]


def test_the_audit_says_who_stopped_an_answer(live: Chats, scripted: Scripted, rows: Rows) -> None:
    live.start(CHAT, "Hi", MODEL)
    scripted.say("A")
    live.stop(CHAT)
    row, _, content = ended_row(live, rows)
    assert (row.status, row.code) == ("cancelled", "page")
    assert content is not None and content.answer == "A"


def test_the_audit_says_why_an_answer_failed(live: Chats, scripted: Scripted, rows: Rows) -> None:
    scripted.refusal = ModelNotFound(MODEL)
    live.start(CHAT, "Hi", MODEL)
    row, notes, _ = ended_row(live, rows)
    assert (row.status, row.code, row.completion_tokens) == ("refused", "model_not_found", None)
    assert MODEL in str(notes["error"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_audit_counts_an_answer_that_nobody_foresaw_the_end_of(
    store: Database, scripted: Scripted, rows: Rows
) -> None:
    live = Chats(store, scripted, rows, save_seconds=0)
    with store.write() as tx:
        tx.query("create trigger full before update of content on messages begin select raise(abort, 'full'); end")
    live.start(CHAT, "Hi", MODEL)
    scripted.say("Some text")
    row, _, content = ended_row(live, rows)
    assert (row.status, row.code, row.completion_tokens) == ("error", "internal_error", 12)
    assert content is not None and content.answer == "Some text"
    for each in threading.enumerate():
        if each.name.startswith("answer-"):
            each.join(5)  # it raises at its end, and that belongs to this test


def test_the_audit_says_when_hearth_was_closed(live: Chats, scripted: Scripted, rows: Rows) -> None:
    live.start(CHAT, "Hi", MODEL)
    scripted.say("A")
    until(lambda: thread(live).turns[-1].content == "A")
    live.close()
    assert (rows.kept[0][0].status, rows.kept[0][0].code) == ("cancelled", "shutdown")
