"""Who may end a request of another connection: its owner, an admin key, and whoever sits at this machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import QWEN, Hearth, run_server
from tests.wsgi.conftest import eventually

HELLO: Any = [{"role": "user", "content": "Go on."}]
LONG: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": HELLO, "max_tokens": 3500},
    "completions": {"prompt": "Go on.", "max_tokens": 3500},
    "messages": {"messages": HELLO, "max_tokens": 3500},
    "responses": {"input": "Go on.", "max_output_tokens": 3500},
}
CHAT = "chat-0001"


@pytest.fixture(scope="module")
def hearth(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    yield from run_server(tmp_path_factory.mktemp("cancelling"), (models_dir,))


@pytest.fixture(scope="module")
def as_key(hearth: Hearth) -> dict[str, dict[str, str]]:
    """The headers of each who asks; whoever sits at this machine sends none."""
    scopes = {"ada": "inference", "ben": "inference", "root": "admin"}
    made = {name: hearth.server.keys.create({"name": name, "scope": scope})[1] for name, scope in scopes.items()}
    return {"nobody": {}, **{name: {"Authorization": f"Bearer {secret}"} for name, secret in made.items()}}


@pytest.fixture(autouse=True)
def idle(hearth: Hearth) -> Iterator[None]:
    """What a test leaves running is ended by its connection's end."""
    yield
    hearth.server.chats.stop(CHAT)
    assert eventually(lambda: not hearth.server.engine.snapshot.requests)


@contextmanager
def answering(hearth: Hearth, headers: dict[str, str], path: str = "completions", **more: Any) -> Iterator[str]:
    """A long answer of somebody, begun; its id."""
    body = {"model": QWEN, "stream": True, **LONG[path], **more}
    url = f"{hearth.base_url}/v1/{path}"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as response:
        assert response.status_code == 200
        request_id = response.headers["x-request-id"]
        assert eventually(lambda: any(known.startswith(request_id) for known in ids(hearth)))
        yield request_id


@contextmanager
def answering_on_a_page(hearth: Hearth, headers: dict[str, str]) -> Iterator[str]:
    """A long answer on the chat page, begun; its id in the engine."""
    said = {"chat": CHAT, "text": "Go on.", "model": QWEN}
    assert httpx.post(f"{hearth.base_url}/chat", data=said, headers=headers).status_code == 303
    assert eventually(lambda: bool(hearth.server.engine.snapshot.requests))
    yield hearth.server.engine.snapshot.requests[0].id
    hearth.server.chats.stop(CHAT)


def cancel(hearth: Hearth, request_id: str, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{hearth.base_url}/v1/requests/{request_id}/cancel", headers=headers)


def ids(hearth: Hearth) -> set[str]:
    """Of the sequences in the engine, as /api/pool lists them."""
    return {row["id"] for row in httpx.get(f"{hearth.base_url}/api/pool").json()["requests"]}


def is_refused(hearth: Hearth, request_id: str, headers: dict[str, str]) -> bool:
    """Whether the answer is the very one for an id that does not exist."""
    refused, unknown = cancel(hearth, request_id, headers), cancel(hearth, "req_unknown", headers)
    assert unknown.status_code == 404 and unknown.json()["error"]["code"] == "request_not_found"
    return (refused.status_code, refused.text) == (404, unknown.text.replace("req_unknown", request_id))


@pytest.mark.parametrize("who", ["nobody", "ada", "root"])
def test_what_many_ids_begin_with_is_no_id(hearth: Hearth, as_key: dict[str, dict[str, str]], who: str) -> None:
    with answering_on_a_page(hearth, {}) as page_id, answering(hearth, as_key[who], n=2) as request_id:
        assert page_id.startswith("chat-") and eventually(lambda: len(ids(hearth)) == 3)
        before = ids(hearth)
        for beginning in ("chat", "req", "chat-", "req_", page_id[:-1], request_id[:-1], f"{request_id}-"):
            assert is_refused(hearth, beginning, as_key[who])
        assert ids(hearth) == before


@pytest.mark.parametrize("path", LONG)
def test_an_inference_key_ends_its_own_alone(hearth: Hearth, as_key: dict[str, dict[str, str]], path: str) -> None:
    for owner in ("ada", "nobody", "root"):
        with answering(hearth, as_key[owner], path) as request_id:
            assert is_refused(hearth, request_id, as_key["ben"])
            assert request_id in ids(hearth)
    with answering(hearth, as_key["ben"], path) as request_id:
        ended = cancel(hearth, request_id, as_key["ben"])
        assert (ended.status_code, ended.json()) == (200, {"id": request_id, "cancelled": True})
        assert eventually(lambda: not ids(hearth))
        assert is_refused(hearth, request_id, as_key["ben"])


@pytest.mark.parametrize("who", ["nobody", "root"])
@pytest.mark.parametrize("owner", ["nobody", "ada", "root"])
def test_who_manages_hearth_ends_any(hearth: Hearth, as_key: dict[str, dict[str, str]], owner: str, who: str) -> None:
    with answering(hearth, as_key[owner]) as request_id:
        assert cancel(hearth, request_id, as_key[who]).status_code == 200
        assert eventually(lambda: not ids(hearth))


@pytest.mark.parametrize("owner", ["nobody", "root"])
def test_answers_on_pages_are_their_visitors_own(hearth: Hearth, as_key: dict[str, dict[str, str]], owner: str) -> None:
    with answering_on_a_page(hearth, as_key[owner]) as page_id:
        assert is_refused(hearth, page_id, as_key["ada"])
        assert page_id in ids(hearth)
        assert cancel(hearth, page_id, as_key["root"]).status_code == 200
        assert eventually(lambda: not ids(hearth))


def test_a_request_ends_with_all_its_parts_and_a_part_alone(hearth: Hearth, as_key: dict[str, dict[str, str]]) -> None:
    with answering(hearth, as_key["ada"], prompt=["Once", "Twice"], n=2) as request_id:
        parts = {f"{request_id}-{prompt}-{index}" for prompt in range(2) for index in range(2)}
        assert eventually(lambda: ids(hearth) == parts)
        assert is_refused(hearth, f"{request_id}-0-1", as_key["ben"])
        assert is_refused(hearth, f"{request_id}-0", as_key["ada"])
        assert cancel(hearth, f"{request_id}-0-1", as_key["ada"]).status_code == 200
        assert eventually(lambda: ids(hearth) == parts - {f"{request_id}-0-1"})
        page = f"{hearth.base_url}/activity/requests/{request_id}-1-0/cancel"
        assert "Cancelled the request." in httpx.post(page, headers={"HX-Request": "true"}).text
        assert eventually(lambda: ids(hearth) == parts - {f"{request_id}-0-1", f"{request_id}-1-0"})
        assert is_refused(hearth, request_id, as_key["ben"])
        assert cancel(hearth, request_id, as_key["ada"]).status_code == 200
        assert eventually(lambda: not ids(hearth))


@pytest.fixture
def one_place(hearth: Hearth) -> Iterator[None]:
    """The engine takes one request at a time; the others wait."""
    hearth.server.settings.save({"batch_size": 1})
    yield
    hearth.server.settings.save({"batch_size": None})


@pytest.mark.parametrize("by_part", [False, True])
def test_embeddings_end_as_one(
    hearth: Hearth, as_key: dict[str, dict[str, str]], one_place: None, by_part: bool
) -> None:
    body = {"model": QWEN, "input": ["One", "Two", "Three"]}
    with answering(hearth, as_key["ben"]) as story, ThreadPoolExecutor(1) as pool:  # holds the one place
        url = f"{hearth.base_url}/v1/embeddings"
        asked = pool.submit(httpx.post, url, json=body, headers=as_key["ada"], timeout=30)
        assert eventually(lambda: len(ids(hearth)) == 4)
        parts = sorted(ids(hearth) - {story})
        request_id = parts[0].removesuffix("-0")
        assert parts == [f"{request_id}-{index}" for index in range(3)]
        for known in (request_id, parts[1]):
            assert is_refused(hearth, known, as_key["ben"])
        assert not asked.done() and ids(hearth) == {story, *parts}
        # One text less is no answer, either.
        assert cancel(hearth, parts[0] if by_part else request_id, as_key["ada"]).status_code == 200
        refused = asked.result(30)
        assert eventually(lambda: ids(hearth) == {story})
    assert (refused.status_code, refused.json()["error"]["code"]) == (499, "cancelled")
