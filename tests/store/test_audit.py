"""Rows of the audit: order, paging and filters over a real file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from webapp.errors import InvalidRequest
from webapp.store.audit import BATCH_ROWS, AuditRecords, AuditRow, Filters
from webapp.store.database import Database
from webapp.store.schema import AUDIT

NOW = 1_790_000_000.0


def row(number: int, **values: object) -> AuditRow:
    plain: dict[str, object] = {"id": f"req_{number:04}", "time": NOW + number, "kind": "request", "who": "local"}
    return AuditRow(**{**plain, "endpoint": "/v1/chat/completions", **values})  # type: ignore[arg-type]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[AuditRecords]:
    database = Database(tmp_path / "audit.db", AUDIT)
    yield AuditRecords(database)
    database.close()


def ids(rows: list[AuditRow]) -> list[str]:
    return [row.id for row in rows]


def test_every_column_comes_back(records: AuditRecords) -> None:
    whole = row(
        1, model="asked", answered_by="org/model", provider="local", status="cancelled", code="client", queue_ms=1.5,
        ttft_ms=20.25, duration_ms=120.25, prompt_tokens=9, cached_tokens=4, completion_tokens=11, reasoning_tokens=3,
        detail='{"answer": "ü"}',
    )  # fmt: skip
    records.add([whole])
    assert records.find(whole.id) == whole
    assert whole.tokens_per_second == pytest.approx(100)
    assert records.find("req_none") is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ttft_ms": 5, "duration_ms": 9, "completion_tokens": 1},
        {"ttft_ms": 5, "duration_ms": 5, "completion_tokens": 9},
    ],
)
def test_speed_is_not_made_up(values: dict[str, float]) -> None:
    assert row(1, **values).tokens_per_second is None


def test_newest_first_by_arrival_however_they_ended(records: AuditRecords) -> None:
    assert records.newest() == 0
    assert records.add([row(3), row(1), row(2)]) == 3
    assert records.add([row(5), row(4)]) == records.newest() == 5
    assert ids(records.rows(Filters(), 10)) == ["req_0005", "req_0004", "req_0003", "req_0002", "req_0001"]


def test_pages_join_without_gap_or_double_also_at_equal_times(records: AuditRecords) -> None:
    records.add([row(number, time=NOW + number // 4) for number in range(25)])
    whole = ids(records.rows(Filters(), 100))
    paged: list[str] = []
    while page := records.rows(Filters(), 7, paged[-1] if paged else None):
        paged += ids(page)
    assert paged == whole and len(set(whole)) == 25
    with pytest.raises(LookupError):
        records.rows(Filters(), 7, "req_gone")


def test_all_rows_come_in_batches(records: AuditRecords) -> None:
    count = 2 * BATCH_ROWS + 1
    records.add([row(number, status="error" if number % 2 else "ok") for number in range(count)])
    assert len(list(records.all_rows(Filters()))) == records.count() == count
    assert len(list(records.all_rows(Filters(status="ok")))) == BATCH_ROWS + 1


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "4321"),
        ({"status": "error"}, "2"),
        ({"kind": "admin"}, "4"),
        ({"who": "page"}, "3"),
        ({"model": "org/one"}, "21"),
        ({"model": "org/on"}, ""),
        ({"id": "req_0003"}, "3"),
        ({"since": str(NOW + 3)}, "43"),
        ({"q": "SETTINGS"}, "4"),
        ({"q": "100%"}, "3"),
        ({"q": "0_"}, ""),
        ({"q": " ", "model": "", "status": ""}, "4321"),
        ({"status": "ok", "model": "org/one"}, "1"),
    ],
)
def test_filters(records: AuditRecords, asked: dict[str, str], expected: str) -> None:
    records.add(
        [
            row(1, model="org/one", answered_by="org/one"),
            row(2, model="profile", answered_by="org/one", status="error", code="internal_error"),
            row(3, who="page", endpoint="/chat", model="other", detail='{"answer": "100% sure"}'),
            row(4, kind="admin", endpoint="settings.save", detail='{"target": "port"}'),
        ]
    )
    found = records.rows(Filters.parse(asked, NOW), 10)
    assert "".join(found_id[-1] for found_id in ids(found)) == expected


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1700000000.5", 1_700_000_000.5),
        ("15m", NOW - 900),
        ("24h", NOW - 86_400),
        ("7d", NOW - 604_800),
        ("2026-09-21T12:00:00+00:00", 1_789_992_000.0),
        ("2026-09-21", datetime(2026, 9, 21).timestamp()),
    ],
)
def test_since_is_said_in_several_ways(text: str, moment: float) -> None:
    assert Filters.parse({"since": text}, NOW).since == moment


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "well"), ("kind", "x"), ("since", "soon"), ("since", "1e999"), ("since", "0001-01-01"), ("modle", "x")],
)
def test_what_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"'{name}'") as refused:
        Filters.parse({name: value}, NOW)
    assert refused.value.param == name


def test_the_oldest_go_first(records: AuditRecords) -> None:
    records.add([row(number) for number in range(10)])
    assert records.delete_before(NOW + 3, limit=2) == 2
    assert records.delete_before(NOW + 3, limit=2) == 1
    assert records.delete_before(NOW + 3, limit=2) == 0
    assert records.delete_oldest(3) == 3
    assert ids(records.rows(Filters(), 10)) == ["req_0009", "req_0008", "req_0007", "req_0006"]


def test_what_recent_rows_name(records: AuditRecords) -> None:
    records.add([row(1, model="b"), row(2, model="a"), row(3), row(4, model="b", who="page")])
    assert (records.recent("model"), records.recent("who")) == (["a", "b"], ["local", "page"])
