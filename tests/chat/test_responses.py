"""Which responses are kept, how long, and who finds them."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.chat.responses import KEPT_SECONDS, Responses
from webapp.errors import InvalidRequest, ResponseNotFound
from webapp.people.keys import Keys
from webapp.store.database import Database
from webapp.store.keys import KeyStore
from webapp.store.responses import ResponseStore


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def responses(database: Database) -> Responses:
    return Responses(ResponseStore(database), Clock(), most=3, at_once=1)


def keep(responses: Responses, name: str, previous: str | None = None, owner: str | None = None) -> bool:
    response: dict[str, Any] = {"id": name, "previous_response_id": previous, "output": [{"text": f"{name}!"}]}
    return responses.keep(owner, [{"text": f"{name}?"}], response)


def is_kept(responses: Responses, name: str) -> bool:
    try:
        return responses.find(None, name)["id"] == name
    except ResponseNotFound:
        return False


def said(items: list[Any]) -> str:
    return "".join(item["text"] for item in items)


def test_a_conversation_is_all_that_was_said(responses: Responses) -> None:
    assert keep(responses, "a") and keep(responses, "b", "a") and keep(responses, "c", "b")
    assert said(responses.conversation(None, "c")) == "a?a!b?b!c?c!"
    assert said(responses.input_of(None, "c")) == "a?a!b?b!c?"
    responses.delete(None, "a")
    with pytest.raises(InvalidRequest, match="'a' not found") as refusal:
        responses.conversation(None, "c")
    assert (refusal.value.param, refusal.value.code) == ("previous_response_id", "previous_response_not_found")


def test_the_newest_are_kept_and_what_they_go_on_from(responses: Responses) -> None:
    for name, previous in [("a", None), ("b", None), ("c", "a"), ("d", None), ("e", None)]:
        keep(responses, name, previous)
    assert [name for name in "abcde" if is_kept(responses, name)] == ["a", "c", "d", "e"]
    keep(responses, "f")
    assert [name for name in "abcdef" if is_kept(responses, name)] == ["d", "e", "f"]


def test_none_is_kept_for_ever(database: Database) -> None:
    clock = Clock()
    responses = Responses(ResponseStore(database), clock)
    keep(responses, "a")
    clock.now += KEPT_SECONDS / 2
    keep(responses, "b")
    clock.now += KEPT_SECONDS / 2 + 1
    again = Responses(ResponseStore(database), clock)
    assert [name for name in "ab" if is_kept(again, name)] == ["b"]


def test_large_ones_push_out_earlier(database: Database) -> None:
    responses = Responses(ResponseStore(database), most_bytes=200, at_once=1)
    for name in "abcd":
        keep(responses, name)
    assert [name for name in "abcd" if is_kept(responses, name)] == ["c", "d"]


def test_a_response_goes_with_its_key(database: Database, responses: Responses) -> None:
    keys = Keys(KeyStore(database))
    keys.create({"name": "agent"})
    assert keep(responses, "a", owner="agent")
    assert responses.find("agent", "a")["id"] == "a" and not is_kept(responses, "a")
    with pytest.raises(ResponseNotFound):
        responses.delete(None, "a")
    keys.revoke("agent")
    keys.create({"name": "agent"})
    with pytest.raises(ResponseNotFound):
        responses.find("agent", "a")
    keys.close()


def test_what_the_disk_does_not_take_is_not_kept(database: Database, responses: Responses) -> None:
    assert not keep(responses, "a", owner="a key that is gone")
    assert not is_kept(responses, "a")
