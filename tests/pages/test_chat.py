"""The chat page: full pages, parts for htmx, and everything without JavaScript."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.conftest import LLAMA, QWEN
from tests.pages.conftest import CHAT, Scripted, until
from webapp.errors import EngineFailed, ModelNotFound, QueueFull
from webapp.server import Server

HTMX = {"HX-Request": "true"}


def ended(server: Server) -> None:
    until(lambda: server.chats.answer(CHAT) is None)


def test_the_address_without_a_path_is_the_chat(client: FlaskClient) -> None:
    assert client.get("/").headers["Location"] == "/chat"


def test_an_empty_chat_says_what_the_model_is_good_for(client: FlaskClient) -> None:
    page = client.get("/chat").text
    assert ">New chat</h1>" in page
    assert page.count('class="example"') == 3
    assert "Conversations you start are kept here" in page


def test_a_message_sent_without_javascript_leads_to_its_conversation(
    client: FlaskClient, server: Server, scripted: Scripted
) -> None:
    sent = client.post("/chat", data={"chat": CHAT, "text": "Hi & <b>", "model": QWEN})
    assert (sent.status_code, sent.headers["Location"]) == (303, f"/chat/{CHAT}")
    scripted.say("So *far*")
    until(lambda: "So" in server.chats.answer(CHAT).text)  # type: ignore[union-attr]
    page = client.get(f"/chat/{CHAT}").text
    assert '<meta http-equiv="refresh"' in page
    assert "Hi &amp; &lt;b&gt;" in page
    assert "So <em>far</em>" in page
    assert f'formaction="/chat/{CHAT}/stop"' in page
    client.post(f"/chat/{CHAT}/stop")
    ended(server)
    page = client.get(f"/chat/{CHAT}").text
    assert '<meta http-equiv="refresh"' not in page
    assert "Stopped." in page


def test_htmx_gets_a_yes_and_the_new_address(client: FlaskClient, server: Server, scripted: Scripted) -> None:
    sent = client.post("/chat", data={"chat": CHAT, "text": "Hi", "model": QWEN}, headers=HTMX)
    assert (sent.status_code, sent.headers["HX-Replace-Url"]) == (204, f"/chat/{CHAT}")
    scripted.end()
    ended(server)


def test_an_example_wins_over_what_is_half_typed(client: FlaskClient, server: Server, scripted: Scripted) -> None:
    client.post("/chat", data={"chat": CHAT, "text": ["half ty", "What is Hearth?"], "model": QWEN})
    scripted.end()
    ended(server)
    assert "What is Hearth?" in client.get(f"/chat/{CHAT}").text


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"text": " "}, 400, "Write a message first."),
        ({"text": "Keep me", "model": "gone/model"}, 404, "is not installed"),
        ({"text": "Keep me", "chat": "x"}, 400, "out of date"),
    ],
)
def test_a_refusal_says_why_and_keeps_the_text(
    client: FlaskClient, form: dict[str, str], status: int, words: str
) -> None:
    form = {"chat": CHAT, "model": QWEN} | form
    part = client.post("/chat", data=form, headers=HTMX)
    assert part.status_code == status
    assert 'hx-target="#notices"' in part.text and 'role="alert"' in part.text and words in part.text
    page = client.post("/chat", data=form)
    assert page.status_code == 400
    assert words in page.text
    assert form["text"].strip() in page.text


def test_failures_stand_in_the_thread_with_a_way_on(client: FlaskClient, server: Server, scripted: Scripted) -> None:
    scripted.refusal = QueueFull("256 requests are waiting already.")
    client.post("/chat", data={"chat": CHAT, "text": "Hello", "model": QWEN})
    ended(server)
    page = client.get(f"/chat/{CHAT}").text
    assert 'role="alert"' in page
    assert "256 requests are waiting already." in page
    assert "Try again" in page
    assert "Hello" in page


def test_an_error_is_advised_about_the_same_in_a_notice_and_in_an_answer(
    client: FlaskClient, server: Server, scripted: Scripted
) -> None:
    notice = client.post("/chat", data={"chat": CHAT, "text": "Hello", "model": "gone/model"}, headers=HTMX).text
    scripted.refusal = ModelNotFound("gone/model")
    client.post("/chat", data={"chat": CHAT, "text": "Hello", "model": QWEN})
    ended(server)
    assert "</strong> Choose another model.<" in notice
    assert "Choose another model." in client.get(f"/chat/{CHAT}").text


def test_a_finished_answer_shows_what_was_measured(client: FlaskClient, answered: int) -> None:
    page = client.get(f"/chat/{CHAT}").text
    assert "A <strong>fireplace</strong>." in page
    for fact in ("10 tok/s", "first token 250 ms", "12 tokens", "prompt 75 % cached", "qwen3-nano"):
        assert f"<span>{fact}</span>" in page


def test_the_raw_answer_is_what_is_copied(client: FlaskClient, answered: int) -> None:
    raw = client.get(f"/chat/{CHAT}/answers/{answered}.md")
    assert (raw.mimetype, raw.text) == ("text/plain", "A **fireplace**.")
    assert client.get(f"/chat/{CHAT}/answers/999.md").status_code == 404


def test_answering_again_offers_both(client: FlaskClient, server: Server, scripted: Scripted, answered: int) -> None:
    again = client.post(f"/chat/{CHAT}/answers/{answered}/again", data={"model": LLAMA})
    assert again.status_code == 303
    until(lambda: len(scripted.requests) == 2)
    assert scripted.requests[-1].model == LLAMA
    scripted.say("Another.")
    scripted.end()
    ended(server)
    page = client.get(f"/chat/{CHAT}").text
    assert "Another." in page and "2/2" in page
    client.post(f"/chat/{CHAT}/answers/{answered}/show")
    assert "1/2" in client.get(f"/chat/{CHAT}").text


def test_thinking_is_collapsed(client: FlaskClient, server: Server, scripted: Scripted) -> None:
    client.post("/chat", data={"chat": CHAT, "text": "Hi", "model": QWEN, "think": ["off", "on"]})
    scripted.think("<hm>")
    scripted.feed(EngineFailed("The engine broke."))
    ended(server)
    assert scripted.requests[0].template_options == {"enable_thinking": True}
    page = client.get(f"/chat/{CHAT}").text
    assert '<details class="thinking">' in page and "&lt;hm&gt;" in page
    assert 'value="on" checked' in page


def test_rename_delete_and_undo(client: FlaskClient, answered: int) -> None:
    client.post(f"/chat/{CHAT}/rename", data={"title": "Fires & stoves"})
    assert ">Fires &amp; stoves</h1>" in client.get(f"/chat/{CHAT}").text
    deleted = client.post(f"/chat/{CHAT}/delete")
    assert deleted.status_code == 303
    assert f"/chat/{CHAT}/restore" in client.get(deleted.headers["Location"]).text
    assert client.get(f"/chat/{CHAT}").status_code == 404
    assert client.post(f"/chat/{CHAT}/restore").headers["Location"] == f"/chat/{CHAT}"
    assert client.get(f"/chat/{CHAT}").status_code == 200


def test_deleting_with_htmx_shows_an_empty_chat_and_offers_undo(client: FlaskClient, answered: int) -> None:
    part = client.post(f"/chat/{CHAT}/delete", headers=HTMX)
    assert part.headers["HX-Push-Url"] == "/chat"
    assert '<section id="chat"' in part.text and "Undo" in part.text
    assert client.post(f"/chat/{CHAT}/restore", headers=HTMX).headers["HX-Push-Url"] == f"/chat/{CHAT}"


def test_the_list_finds(client: FlaskClient, answered: int) -> None:
    assert f'href="/chat/{CHAT}"' in client.get("/chat?q=fireplace").text
    found = client.get(f"/chat/conversations?q=zebra&chat={CHAT}", headers=HTMX).text
    assert "Nothing found for “zebra”" in found
    assert 'data-query="zebra"' in found


def test_parts_for_htmx_and_pages_for_going_back(client: FlaskClient, answered: int) -> None:
    part = client.get(f"/chat/{CHAT}", headers=HTMX)
    assert "<html" not in part.text and "<title>What is a *hearth*? · Hearth</title>" in part.text
    back = client.get(f"/chat/{CHAT}", headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert "<html" in back.text
    for response in (part, back):
        assert {"HX-Request", "HX-History-Restore-Request"} <= response.vary.as_set(preserve_casing=True)
        assert response.headers["Cache-Control"] == "no-store"


def test_a_chosen_model_speaks_for_itself(client: FlaskClient) -> None:
    part = client.get(f"/chat/about?model={LLAMA}", headers=HTMX).text
    assert "llama-nano" in part
    assert part.count("<hx-partial") == 3
    assert client.get("/chat/about?model=gone/model", headers=HTMX).status_code == 404


def test_a_conversation_whose_model_is_gone_says_so(client: FlaskClient, server: Server, scripted: Scripted) -> None:
    server.chats.start(CHAT, "Hello", "org/gone-7b")
    scripted.end()
    ended(server)
    assert "gone-7b is no longer available" in client.get(f"/chat/{CHAT}").text


def test_a_long_conversation_shows_its_end_first(client: FlaskClient, server: Server, answered: int) -> None:
    with server.store.write() as tx:
        leaf = answered
        for number in range(80):
            row = {"chat": CHAT, "parent": leaf, "role": "user", "content": f"Turn {number}.", "reasoning": ""}
            leaf = tx["messages"].insert(row | {"model": "", "status": "ok", "created": 0.0})
        tx.query("update chats set leaf = :leaf", leaf=leaf)
    page = client.get(f"/chat/{CHAT}").text
    assert "Turn 79." in page and "Turn 10." not in page
    assert "Show 22 earlier turns" in page
    assert "Turn 0." in client.get(f"/chat/{CHAT}?all").text


def test_an_unknown_conversation_is_said_in_words(client: FlaskClient) -> None:
    missing = client.get("/chat/no-such-chat")
    assert missing.status_code == 404
    assert 'role="alert"' in missing.text and "Go to the chat" in missing.text
