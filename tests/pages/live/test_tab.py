"""What a tab is sent: only what changed, and always enough to show what the server has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import QWEN
from tests.pages.conftest import CHAT, Scripted, until
from webapp.app import create_app
from webapp.chat.conversations import Conversation
from webapp.errors import EngineFailed
from webapp.pages.live.tab import Tab
from webapp.server import Server


@pytest.fixture
def tab(server: Server) -> Iterator[Tab]:
    with create_app(server).test_request_context("/live"):
        yield Tab(server)


def thread(server: Server) -> Conversation:
    found = server.chats.thread(CHAT)
    assert found is not None
    return found


def greet(tab: Tab, revision: int = -1, **more: object) -> None:
    tab.hear(json.dumps({"room": "chat", "chat": CHAT, "revision": revision, **more}))


def news(tab: Tab) -> str:
    return "\n".join(tab.news())


def test_before_it_says_anything_a_tab_gets_the_status_only(tab: Tab) -> None:
    first = news(tab)
    assert 'hx-target="#hearth"' in first
    assert first.count("<hx-partial") == 1
    assert news(tab) == ""


@pytest.mark.parametrize(
    "nonsense",
    [
        "", "{", "[]", "null", b"\xff", '"x"', '{"chat": 7, "revision": {}}', '{"chat": "\\ud800-lone-half"}',
        '{"room": ' + "[" * 60_000, '{"room": ' + "[" * 900 + "]" * 900 + "}", '{"revision": ' + "9" * 60_000 + "}",
    ],
    ids=lambda nonsense: repr(nonsense[:20]),
)  # fmt: skip
def test_nonsense_is_ignored(tab: Tab, nonsense: str | bytes) -> None:
    tab.hear(nonsense)
    news(tab)
    assert tab.chat_id is None


def test_a_tab_that_shows_the_newest_is_not_sent_the_thread(server: Server, tab: Tab, answered: int) -> None:
    greet(tab, thread(server).chat.revision)
    sent = news(tab)
    assert "fireplace" not in sent
    assert 'hx-target="#conversation-list' in sent


def test_a_tab_that_comes_back_gets_the_whole_thread(tab: Tab, answered: int) -> None:
    greet(tab)
    sent = news(tab)
    assert '<hx-partial hx-target="#thread" hx-swap="innerMorph">' in sent
    assert "<strong>fireplace</strong>" in sent


def test_an_answer_from_its_first_word_to_its_last(server: Server, tab: Tab, scripted: Scripted) -> None:
    greet(tab)
    news(tab)
    answer = server.chats.start(CHAT, "Hi", QWEN)
    first = news(tab)
    assert 'hx-target="#thread" hx-swap="beforeend"' in first
    assert f'id="turn-{answer}"' in first
    assert "/stop" in first
    assert "qwen3-nano is answering" in first
    scripted.say("One *para*")
    until(lambda: "para" in server.chats.answer(CHAT).text)  # type: ignore[union-attr]
    assert f'hx-target="#turn-{answer} .tail" hx-swap="innerMorph"><p>One <em>para</em></p>' in news(tab)
    assert news(tab) == ""
    scripted.say("graph.\n\nAnd another")
    until(lambda: "another" in server.chats.answer(CHAT).text)  # type: ignore[union-attr]
    grown = news(tab)
    assert f'hx-target="#turn-{answer} .done" hx-swap="beforeend"><p>One' in grown
    assert '.tail" hx-swap="innerMorph"><p>And another</p>' in grown
    scripted.end()
    until(lambda: server.chats.answer(CHAT) is None)
    last = news(tab)
    assert f'hx-target="#turn-{answer}" hx-swap="outerMorph"' in last
    assert "Answer ready, 4 words" in last
    assert 'aria-label="Send"' in last
    assert news(tab) == ""


def test_a_tab_that_joins_in_the_middle_gets_all_so_far(server: Server, tab: Tab, scripted: Scripted) -> None:
    server.chats.start(CHAT, "Hi", QWEN)
    scripted.think("Hm <b>.")
    scripted.say("First.\n\nSecond")
    until(lambda: "Second" in server.chats.answer(CHAT).text)  # type: ignore[union-attr]
    greet(tab, thread(server).chat.revision)
    sent = news(tab)
    assert '.thinking-slot" hx-swap="innerMorph">' in sent and "Hm &lt;b&gt;." in sent
    assert '.done" hx-swap="innerMorph"><p>First.</p>' in sent
    assert "<p>Second</p>" in sent
    scripted.end()


def test_thinking_is_appended(server: Server, tab: Tab, scripted: Scripted) -> None:
    greet(tab)
    server.chats.start(CHAT, "Hi", QWEN)
    scripted.think("One, ")
    until(lambda: bool(server.chats.answer(CHAT).reasoning))  # type: ignore[union-attr]
    assert "Thinking" in news(tab)
    scripted.think("<two>")
    until(lambda: "two" in server.chats.answer(CHAT).reasoning)  # type: ignore[union-attr]
    assert '.reasoning" hx-swap="beforeend">&lt;two&gt;<' in news(tab)
    scripted.end()


def test_an_answer_that_ends_between_two_looks_is_still_shown(
    server: Server, tab: Tab, scripted: Scripted, answered: int
) -> None:
    greet(tab, thread(server).chat.revision)
    news(tab)
    server.chats.regenerate(CHAT, answered, QWEN)
    scripted_again(scripted, server)
    sent = news(tab)
    assert f'hx-target="#turn-{answered}" hx-swap="delete"' in sent
    assert "Another." in sent and "2/2" in sent


def scripted_again(scripted: Scripted, server: Server) -> None:
    until(lambda: len(scripted.requests) == 2)
    scripted.say("Another.")
    scripted.end()
    until(lambda: server.chats.answer(CHAT) is None)


def test_a_running_answer_that_ended_before_the_next_look_is_finished(
    server: Server, tab: Tab, scripted: Scripted
) -> None:
    answer = server.chats.start(CHAT, "Hi", QWEN)
    greet(tab, thread(server).chat.revision)
    scripted.feed(EngineFailed("The engine broke."))
    until(lambda: server.chats.answer(CHAT) is None)
    sent = news(tab)
    assert f'hx-target="#turn-{answer}" hx-swap="outerMorph"' in sent
    assert "The engine broke." in sent and "The answer failed" in sent


def test_an_answer_that_ends_while_it_is_told_says_nothing_of_a_start(
    server: Server, tab: Tab, scripted: Scripted
) -> None:
    greet(tab)
    news(tab)
    server.chats.start(CHAT, "Hi", QWEN)
    told = tab.news()
    assert 'hx-target="#conversation-list' in next(told)
    scripted.feed(EngineFailed("The engine broke."))
    until(lambda: server.chats.answer(CHAT) is None)
    rest = "".join(told)
    assert "The engine broke." in rest and ".state" not in rest


def test_a_new_name_reaches_heading_list_and_title(server: Server, tab: Tab, answered: int) -> None:
    greet(tab, thread(server).chat.revision)
    news(tab)
    server.chats.rename(CHAT, "Fires & stoves")
    sent = news(tab)
    assert "<title>Fires &amp; stoves · Hearth</title>" in sent
    assert 'hx-target="#chat-header"' in sent
    assert "turn-" not in sent


def test_another_conversation_changes_only_the_list(
    server: Server, tab: Tab, scripted: Scripted, answered: int
) -> None:
    greet(tab, thread(server).chat.revision)
    news(tab)
    server.chats.start("chat-0002", "Elsewhere", QWEN)
    sent = news(tab)
    assert sent.count("<hx-partial") == 1
    assert "Elsewhere" in sent and 'aria-label="answering"' in sent
    scripted.end()


def test_only_the_shown_end_of_a_long_conversation_is_sent(server: Server, tab: Tab, answered: int) -> None:
    with server.store.write() as tx:
        leaf = answered
        for number in range(80):
            row = {"chat": CHAT, "parent": leaf, "role": "user", "content": f"Turn {number}.", "reasoning": ""}
            leaf = tx["messages"].insert(row | {"model": "", "status": "ok", "created": 0.0})
        tx.query("update chats set leaf = :leaf", leaf=leaf)
    greet(tab)
    assert "Turn 79." in (sent := news(tab)) and "Turn 10." not in sent
    greet(tab, all=True)
    assert "Turn 10." in news(tab)
