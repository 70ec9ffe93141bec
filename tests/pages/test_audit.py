"""The audit page: filters, rows that open, paging, and what a live tab is sent."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import date

import pytest
from flask.testing import FlaskClient

from webapp.app import create_app
from webapp.audit.trace import Content
from webapp.pages.audit import PAGE_ROWS
from webapp.pages.drawing.words import moment
from webapp.pages.live.tab import Tab
from webapp.pages.live.tail import Tail
from webapp.server import Server
from webapp.store.audit import AuditRow

HTMX = {"HX-Request": "true"}
NOW = time.time()


def row(number: int, **values: object) -> AuditRow:
    plain: dict[str, object] = {"time": NOW - 100 + number, "kind": "request", "who": "local", "model": "org/some"}
    return AuditRow(**{**plain, "id": f"req_{number}", "endpoint": "/v1/completions", **values})  # type: ignore[arg-type]


@pytest.fixture
def log(server: Server) -> Iterator[Server]:
    server.audit.start()
    yield server


def keep(server: Server, *rows: AuditRow) -> None:
    for each in rows:
        server.audit.record(each)
    assert server.audit.flush()


def shown(page: str) -> list[str]:
    return re.findall(r'<tbody id="row-(\w+)"', page)


def test_an_empty_audit_says_what_will_be_in_it(client: FlaskClient, log: Server) -> None:
    page = client.get("/audit").text
    assert "Nothing has been asked yet." in page
    assert "No prompts and no answers are kept." in page
    assert "kept for 30 days or up to 200 MB" in page
    assert 'href="/audit" aria-current="page"' in page


def test_rows_newest_first_with_their_facts(client: FlaskClient, log: Server) -> None:
    keep(
        log,
        row(1, status="refused", code="model_not_found", model="gpt-9"),
        row(2, prompt_tokens=1200, completion_tokens=31, ttft_ms=40, duration_ms=340),
        row(3, kind="admin", model=None, endpoint="models.load", detail=json.dumps({"target": "org/big"})),
    )
    page = client.get("/audit").text
    assert shown(page) == ["req_3", "req_2", "req_1"]
    for words in ("1,200", "40 ms", "340 ms", "100 tok/s", "model not found", "gpt-9", "org/big"):
        assert words in page


def test_filters_keep_their_words_and_hide_the_rest(client: FlaskClient, log: Server) -> None:
    keep(log, row(1), row(2, status="error", model="org/other"), row(3, who="page"))
    page = client.get("/audit?status=error").text
    assert shown(page) == ["req_2"]
    assert '<option value="error" selected>' in page and "data-live" not in page
    assert shown(client.get("/audit?who=page&q=").text) == ["req_3"]
    assert "Nothing fits." in client.get("/audit?model=gone").text
    assert '<option value="gone" selected>' in client.get("/audit?model=gone").text
    part = client.get("/audit?status=error&q=&who=", headers=HTMX)
    assert part.text.lstrip().startswith('<div id="audit">')
    assert part.headers["HX-Push-Url"] == "/audit?status=error"


def test_a_filter_that_makes_no_sense_is_named(client: FlaskClient, log: Server) -> None:
    refused = client.get("/audit?since=yesteryear")
    assert refused.status_code == 400
    assert "since" in refused.text


def test_older_rows_are_a_link_away(client: FlaskClient, log: Server) -> None:
    keep(log, *(row(number) for number in range(PAGE_ROWS + 3)))
    first = client.get("/audit").text
    assert len(shown(first)) == PAGE_ROWS
    (older,) = re.findall(r'href="(/audit\?before=\w+)">Older', first)
    second = client.get(older).text
    assert shown(second) == ["req_2", "req_1", "req_0"]
    assert "data-live" not in second and ">Newest<" in second and ">Older<" not in second
    assert client.get("/audit?before=gone&who=local").headers["Location"] == "/audit?who=local"


def test_a_row_opens_in_place_and_is_a_page_by_itself(client: FlaskClient, log: Server) -> None:
    log.settings.save({"audit_content": "full"})
    said = {"messages": [{"role": "user", "content": "Is <b> bold?"}]}
    log.audit.record(row(1, code="stop", queue_ms=3, cached_tokens=4, prompt_tokens=9), {}, Content(said, "Yes.", ""))
    log.audit.flush()
    opened = client.get("/audit/req_1", headers=HTMX).text
    assert opened.count("<tbody") == 1 and 'aria-expanded="true"' in opened
    assert "Is &lt;b&gt; bold?" in opened and "Yes." in opened and "9 tokens, 4 of them cached" in opened
    closed = client.get("/audit/req_1?closed", headers=HTMX).text
    assert 'aria-expanded="false"' in closed and "Yes." not in closed
    page = client.get("/audit/req_1").text
    assert "<h1>Request</h1>" in page and "Is &lt;b&gt; bold?" in page
    assert client.get("/audit/none").status_code == 404


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"request": {"prompt": [1, 2]}}, "Prompt"),
        ({"request": {"input": ["Ember", "Ash"]}}, "Ash"),
        ({"request": "sha256:abc", "answer": "sha256:def"}, "sha256:def"),
        ({"request": {"messages": [{"role": "assistant", "tool_calls": [{"id": "call_1"}]}]}}, "call_1"),
        ({"target": "max_tokens", "before": 2048, "after": None}, "2048"),
        ({"error": "The queue is full."}, "The queue is full."),
        ({}, "req_1"),
    ],
)
def test_every_kind_of_detail_can_be_shown(
    client: FlaskClient, log: Server, detail: dict[str, object], words: str
) -> None:
    keep(log, row(1, detail=json.dumps(detail)))
    assert words in client.get("/audit/req_1").text


def test_a_time_of_today_and_of_other_days() -> None:
    then = time.mktime((2026, 3, 5, 14, 3, 9, 0, 0, -1))
    days = (date(2026, 3, 5), date(2026, 11, 2), date(2027, 1, 1))
    assert [moment(then, day) for day in days] == ["14:03:09", "Mar 5, 14:03", "2026-03-05 14:03"]


# Live


@pytest.fixture
def request_context(log: Server) -> Iterator[Server]:
    with create_app(log).test_request_context("/live"):
        yield log


def targets(tail: Tail) -> list[tuple[str, str, list[str]]]:
    return [(target.removeprefix("#audit[data-live] "), swap, shown(markup)) for target, swap, markup in tail.news()]


def test_a_tab_that_shows_the_newest_gets_only_what_is_new(request_context: Server) -> None:
    log = request_context.audit
    keep(request_context, row(10), row(20))
    tail = Tail(log, log.revision)
    assert targets(tail) == []
    keep(request_context, row(30), row(40), row(15), row(5))
    assert targets(tail) == [
        ("#audit-table", "beforeend", ["req_5"]),
        ("#row-req_10", "beforebegin", ["req_15"]),
        ("#row-req_20", "beforebegin", ["req_40", "req_30"]),
    ]
    assert targets(tail) == []


def test_a_tab_that_shows_something_older_gets_the_table(request_context: Server) -> None:
    keep(request_context, row(1), row(2))
    assert targets(Tail(request_context.audit, -1)) == [("#audit-table", "outerMorph", ["req_2", "req_1"])]
    assert targets(Tail(request_context.audit, "nonsense"))[0][1] == "outerMorph"


def test_what_falls_off_the_page_goes(request_context: Server) -> None:
    keep(request_context, *(row(number) for number in range(PAGE_ROWS)))
    tail = Tail(request_context.audit, request_context.audit.revision)
    keep(request_context, row(90))
    assert targets(tail) == [("#row-req_0", "delete", []), ("#row-req_49", "beforebegin", ["req_90"])]
    keep(request_context, *(row(200 + number) for number in range(PAGE_ROWS)))
    assert targets(tail)[0][:2] == ("#audit-table", "outerMorph")


def test_only_the_room_of_the_audit_is_sent_rows(request_context: Server) -> None:
    tab = Tab(request_context)
    tab.hear(json.dumps({"room": "chat", "revision": -1}))
    keep(request_context, row(1))
    assert "req_1" not in "".join(tab.news())
    tab.hear(json.dumps({"room": "audit", "revision": 0}))
    tab._status_at = float("-inf")
    assert "row-req_1" in "".join(tab.news())
