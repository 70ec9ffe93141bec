"""One row for every request under /v1, whatever its end; read, filtered and exported over /api/audit."""

from __future__ import annotations

import csv
import io
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import Hearth
from tests.wsgi.conftest import eventually
from webapp.api.manage.audit import HEAD, cells_of, csv_lines, in_pieces
from webapp.store.audit import COLUMNS, AuditRow

SECRET = "xyzzy-secret"
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def settings(hearth: Hearth) -> Iterator[None]:
    """The shared server; what a test saves is taken back."""
    yield
    hearth.server.settings.save(dict.fromkeys(("audit_content", "total_seconds", "max_waiting", "batch_size")))


def ask(hearth: Hearth, path: str = "/v1/chat/completions", **body: object) -> httpx.Response:
    said = {"model": hearth.models[0], "messages": [{"role": "user", "content": SECRET}], "max_tokens": 3, **body}
    return httpx.post(f"{hearth.base_url}{path}", json=said, timeout=30)


def logs(hearth: Hearth, **asked: object) -> list[Row]:
    response = httpx.get(f"{hearth.base_url}/api/audit/logs", params=asked)  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    return list(response.json()["logs"])


def row_of(hearth: Hearth, response: httpx.Response) -> Row:
    """Its one row: whoever has the response finds it in the audit."""
    (row,) = logs(hearth, id=response.headers["x-request-id"])
    return row


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer(hearth: Hearth, stream: bool) -> None:
    row = row_of(hearth, ask(hearth, stream=stream))
    assert tuple(row) == (*COLUMNS, "tokens_per_second")
    assert (row["kind"], row["who"], row["endpoint"]) == ("request", "local", "/v1/chat/completions")
    assert (row["model"], row["answered_by"], row["provider"]) == (hearth.models[0], hearth.models[0], "local")
    assert (row["status"], row["code"], row["completion_tokens"]) == ("ok", "length", 3)
    assert row["prompt_tokens"] > 0 and row["cached_tokens"] >= 0 and row["reasoning_tokens"] == 0
    assert 0 <= row["queue_ms"] <= row["ttft_ms"] <= row["duration_ms"]
    assert row["tokens_per_second"] > 0 and row["detail"] is None


@pytest.mark.parametrize(
    ("path", "body", "code", "model"),
    [
        ("/v1/chat/completions", {"model": "no/such"}, "model_not_found", "no/such"),
        ("/v1/chat/completions", {"messages": 7}, "invalid_type", "tests/qwen3-nano"),
        ("/v1/chat/completions", {"audio": {}}, "unsupported_parameter", "tests/qwen3-nano"),
        ("/v1/completions", {}, "missing_required_parameter", "tests/qwen3-nano"),
        ("/v1/nothing/here", {}, "unknown_url", None),
        ("/v1/models", {}, "method_not_allowed", None),
        ("/v1/requests/req_none/cancel", {}, "request_not_found", None),
    ],
)
def test_refusals(hearth: Hearth, path: str, body: dict[str, object], code: str, model: str | None) -> None:
    row = row_of(hearth, ask(hearth, path, **body))
    assert (row["endpoint"], row["status"], row["code"], row["model"]) == (path, "refused", code, model)
    assert row["duration_ms"] >= 0 and row["answered_by"] is None and row["completion_tokens"] is None
    assert "error" in json.loads(row["detail"]) and SECRET not in row["detail"]


def test_bad_json_and_wrong_media_type(hearth: Hearth) -> None:
    url = f"{hearth.base_url}/v1/chat/completions"
    broken = httpx.post(url, content=b"{", headers={"Content-Type": "application/json"})
    assert row_of(hearth, broken)["code"] == "invalid_json"
    assert row_of(hearth, httpx.post(url, data={"a": "b"}))["code"] == "unsupported_media_type"


def test_what_is_turned_away_at_the_door(hearth: Hearth) -> None:
    url = f"{hearth.base_url}/v1/chat/completions"
    foreign = httpx.post(url, json={}, headers={"Origin": "https://elsewhere.example"})
    assert row_of(hearth, foreign)["code"] == "origin_not_allowed"
    large = httpx.post(url, content=b"x" * 17_000_000)
    assert row_of(hearth, large)["code"] == "request_too_large"
    page = httpx.post(f"{hearth.base_url}/chat", headers={"Origin": "https://elsewhere.example"})
    assert logs(hearth, id=page.headers["x-request-id"]) == []


def test_requests_that_do_not_generate(hearth: Hearth) -> None:
    row = row_of(hearth, httpx.get(f"{hearth.base_url}/v1/models"))
    assert (row["status"], row["endpoint"], row["model"], row["queue_ms"]) == ("ok", "/v1/models", None, None)
    health = httpx.get(f"{hearth.base_url}/v1/health")
    page = httpx.get(f"{hearth.base_url}/api/pool")
    for unrecorded in (health, page):
        assert logs(hearth, id=unrecorded.headers["x-request-id"]) == []


def test_a_full_queue_and_a_timeout(hearth: Hearth) -> None:
    hearth.server.settings.save({"total_seconds": 0.3})
    late = row_of(hearth, ask(hearth, "/v1/completions", prompt="Go", max_tokens=3500, stream=True))
    assert (late["status"], late["code"], late["answered_by"]) == ("timeout", "timeout", hearth.models[0])
    hearth.server.settings.save({"total_seconds": None, "max_waiting": 0, "batch_size": 1})
    body = {"model": hearth.models[0], "prompt": "Go", "max_tokens": 3000, "stream": True}
    with httpx.stream("POST", f"{hearth.base_url}/v1/completions", json=body, timeout=30) as running:
        assert row_of(hearth, ask(hearth))["code"] == "queue_full"
        httpx.post(f"{hearth.base_url}/v1/requests/{running.headers['x-request-id']}/cancel")
        running.read()


def test_cancelled_by_another_request(hearth: Hearth) -> None:
    body = {"model": hearth.models[0], "prompt": "Go", "max_tokens": 3000, "stream": True}
    with httpx.stream("POST", f"{hearth.base_url}/v1/completions", json=body, timeout=30) as running:
        httpx.post(f"{hearth.base_url}/v1/requests/{running.headers['x-request-id']}/cancel")
        running.read()
    row = row_of(hearth, running)
    assert (row["status"], row["code"]) == ("cancelled", "api")


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_that_leaves(hearth: Hearth, stream: str) -> None:
    """The row has what was generated until then."""
    word = f"left-{stream}"
    body = f'{{"model": "{hearth.models[0]}", "prompt": "{word}", "max_tokens": 3000, "stream": {stream}}}'
    hearth.server.settings.save({"audit_content": "full"})
    address = urlsplit(hearth.base_url)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0)) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert eventually(lambda: any(r.completion_tokens > 5 for r in hearth.server.engine.snapshot.requests))
    assert eventually(lambda: bool(logs(hearth, q=word)))
    (row,) = logs(hearth, q=word)
    assert (row["status"], row["code"], row["answered_by"]) == ("cancelled", "client", hearth.models[0])
    assert 5 < row["completion_tokens"] < 3000 and row["ttft_ms"] > 0
    assert json.loads(row["detail"])["answer"]


def test_content_only_when_it_is_wanted(hearth: Hearth) -> None:
    hearth.server.settings.save({"audit_content": "full"})
    response = ask(hearth, foo=1)
    row = row_of(hearth, response)
    assert json.loads(row["detail"]) == {
        "ignored": "foo",
        "request": {"messages": [{"role": "user", "content": SECRET}]},
        "answer": response.json()["choices"][0]["message"]["content"],
    }
    hearth.server.settings.save({"audit_content": "hashes"})
    row = row_of(hearth, ask(hearth))
    assert SECRET not in row["detail"] and "sha256:" in row["detail"]


@pytest.mark.parametrize("texts", [SECRET, [SECRET, "another"], [5, 6, 7], [[5, 6], [7]]], ids=str)
def test_the_texts_of_embeddings_are_kept_like_prompts(hearth: Hearth, texts: object) -> None:
    body = {"model": hearth.models[0], "input": texts}
    url = f"{hearth.base_url}/v1/embeddings"
    hearth.server.settings.save({"audit_content": "full"})
    row = row_of(hearth, httpx.post(url, json=body, timeout=30))
    assert json.loads(row["detail"]) == {"request": {"input": texts}}
    hearth.server.settings.save({"audit_content": "hashes"})
    row = row_of(hearth, httpx.post(url, json=body, timeout=30))
    assert SECRET not in row["detail"] and "sha256:" in row["detail"]
    hearth.server.settings.save({"audit_content": None})
    assert row_of(hearth, httpx.post(url, json=body, timeout=30))["detail"] is None


def test_newest_first_with_limit_and_pages(hearth: Hearth) -> None:
    ids = [httpx.get(f"{hearth.base_url}/v1/models").headers["x-request-id"] for _ in range(5)]
    assert [row["id"] for row in logs(hearth, limit=3)] == ids[:1:-1]
    first = httpx.get(f"{hearth.base_url}/api/audit/logs", params={"limit": 2}).json()
    assert first["next"] == ids[3]
    assert [row["id"] for row in logs(hearth, limit=2, before=first["next"])] == ids[2:0:-1]
    since = logs(hearth, id=ids[2])[0]["time"]
    assert [row["id"] for row in logs(hearth, since=since)] == ids[:1:-1]
    assert logs(hearth, model="", status="", since="", limit="")[0]["id"] == ids[-1]


@pytest.mark.parametrize("route", ["logs", "export"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "0"), ("limit", "1001"), ("limit", "ten"), ("limit", "-1"), ("limit", "1.5"), ("status", "fine"),
     ("kind", "x"), ("since", "soon"), ("before", "req_none"), ("modle", "x"), ("format", "xml")],
)  # fmt: skip
def test_what_makes_no_sense_is_named(hearth: Hearth, route: str, name: str, value: str) -> None:
    response = httpx.get(f"{hearth.base_url}/api/audit/{route}", params={name: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == name


def test_exports_hold_what_the_list_holds(hearth: Hearth) -> None:
    ask(hearth, model="=cmd|' /C calc'!A0")
    row = row_of(hearth, ask(hearth, model='no "such", model\n'))
    url = f"{hearth.base_url}/api/audit/export"
    lines = httpx.get(url, params={"format": "jsonl", "status": "refused"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert 'attachment; filename="hearth-audit-' in lines.headers["content-disposition"]
    assert [json.loads(line) for line in lines.text.splitlines()] == logs(hearth, status="refused", limit=1000)
    table = httpx.get(url, params={"format": "csv", "status": "refused"})
    assert table.headers["content-type"].startswith("text/csv")
    assert table.headers["content-disposition"].endswith('.csv"')
    head, first, second, *_ = csv.reader(io.StringIO(table.text))
    assert tuple(head) == HEAD
    assert dict(zip(head, first, strict=True))["model"] == row["model"] == 'no "such", model\n'
    assert dict(zip(head, second, strict=True))["model"] == "'=cmd|' /C calc'!A0"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start: str) -> None:
    row = AuditRow("req", 1.0, "request", "local", "/v1/x", model=f"{start}1+1", code=f"{start}x", detail=f"{start}y")
    assert [cell for cell in cells_of(row) if str(cell).startswith("'")] == [f"'{start}1+1", f"'{start}x", f"'{start}y"]


def test_an_export_holds_little_at_a_time() -> None:
    taken = 0

    def rows() -> Iterator[AuditRow]:
        nonlocal taken
        for taken in range(1, 10_001):
            yield AuditRow(f"req_{taken}", 1.0, "request", "local", "/v1/x", detail="x" * 1000)

    pieces = in_pieces(csv_lines(rows()))
    assert len(next(pieces)) < 70_000 and taken < 100
    assert sum(len(piece) for piece in pieces) > 9_000_000
    assert taken == 10_000
