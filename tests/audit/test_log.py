"""The log: rows from many threads, content as far as allowed, and what is too old or too much goes."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.wsgi.conftest import eventually
from webapp.audit.log import DAY_SECONDS, AuditLog
from webapp.audit.trace import Content
from webapp.settings.table import Settings
from webapp.store.audit import AuditRow, Filters
from webapp.store.database import Database
from webapp.store.schema import AUDIT

MB = 1_000_000
ASKED = Content({"messages": [{"role": "user", "content": "a secret"}]}, "an answer", "")


def row(number: int, **values: object) -> AuditRow:
    plain: dict[str, object] = {"time": time.time(), "kind": "request", "who": "local", "endpoint": "/v1/completions"}
    return AuditRow(**{**plain, "id": f"req_{number}", **values})  # type: ignore[arg-type]


class Desk:
    """Opens logs on one file under settings that a test may change."""

    def __init__(self, path: Path):
        self.path = path
        self.settings = Settings()
        self._logs: list[AuditLog] = []

    def open(self, **options: object) -> AuditLog:
        log = AuditLog(Database(self.path, AUDIT), lambda: self.settings, **options)  # type: ignore[arg-type]
        self._logs.append(log)
        return log

    def close(self) -> None:
        for log in self._logs:
            log.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "audit.db")
    yield desk
    desk.close()


@pytest.fixture
def log(desk: Desk) -> AuditLog:
    log = desk.open()
    log.start()
    return log


def test_rows_can_be_read_in_a_moment_without_asking(log: AuditLog) -> None:
    log.record(row(1))
    assert eventually(lambda: log.records.count() == 1)
    assert log.revision == 1


def test_a_flush_waits_for_what_came_before(log: AuditLog) -> None:
    for number in range(1200):
        log.record(row(number))
    assert log.flush()
    assert (log.records.count(), log.revision) == (1200, 1200)


def test_many_threads_lose_nothing_and_close_writes_the_rest(desk: Desk) -> None:
    log = desk.open()
    log.start()

    def work(thread: int) -> None:
        for number in range(100):
            log.record(row(1000 * thread + number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    again = desk.open()
    assert again.records.count() == again.revision == 3200


def test_too_many_waiting_are_counted_and_said_never_waited_for(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    log = desk.open(most_waiting=10)
    for number in range(15):
        log.record(row(number))
    assert log.lost == 5
    log.start()
    assert log.flush()
    assert log.records.count() == 10
    assert "has lost 5 rows" in caplog.text


def test_a_row_that_cannot_be_written_ends_nothing(log: AuditLog, caplog: pytest.LogCaptureFixture) -> None:
    log.record(row(1, model="half of a \ud83d"))
    assert log.flush()
    log.record(row(2))
    assert log.flush()
    assert (log.records.count(), log.lost) == (1, 1)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_content_is_kept_only_as_far_as_the_setting_says(desk: Desk) -> None:
    log = desk.open()
    log.start()
    details = []
    for number, how in enumerate(("none", "hashes", "full")):
        desk.settings = replace(desk.settings, audit_content=how)
        log.record(row(number), {"ignored": "foo"}, ASKED)
        log.flush()
        details.append((log.records.find(f"req_{number}") or row(0)).detail or "")
    none, hashes, full = (json.loads(detail) for detail in details)
    assert none == {"ignored": "foo"}
    assert full == {"ignored": "foo", "request": ASKED.request, "answer": "an answer"}
    assert hashes.keys() == full.keys()
    assert hashes["answer"] == f"sha256:{sha256(b'an answer').hexdigest()}"
    assert "secret" not in details[0] + details[1]
    desk.settings = Settings()
    log.record(row(10), {}, ASKED)
    log.flush()
    assert (log.records.find("req_10") or row(0)).detail is None


def test_an_act_of_administration_says_what_it_changed(log: AuditLog) -> None:
    log.admin("page", "settings.save", "max_tokens", before=2048, after=None)
    log.admin("local", "models.load", "org/model", status="error", code="model_load_failed")
    log.flush()
    failed, saved = log.records.rows(Filters(kind="admin"), 10)
    assert (saved.who, saved.endpoint, saved.status) == ("page", "settings.save", "ok")
    assert json.loads(saved.detail or "") == {"target": "max_tokens", "before": 2048}
    assert (failed.status, failed.code) == ("error", "model_load_failed")


def test_what_is_too_old_goes(desk: Desk) -> None:
    log = desk.open(retention_seconds=0.05)
    log.start()
    now = time.time()
    for age in (1, 5, 29, 31, 400):
        log.record(row(age, time=now - age * DAY_SECONDS))
    assert eventually(lambda: kept(log) == ["req_1", "req_5", "req_29"])
    desk.settings = replace(desk.settings, audit_days=2)
    assert eventually(lambda: kept(log) == ["req_1"])


def kept(log: AuditLog) -> list[str]:
    return [row.id for row in log.records.rows(Filters(), 100)]


def test_what_is_too_much_goes_and_the_file_shrinks(desk: Desk) -> None:
    log = desk.open()
    log.start()
    for number in range(4000):
        log.record(row(number, time=time.time() + number / 1000), {"error": "x" * 1000})
    assert log.flush(10)
    assert desk.path.stat().st_size + wal(desk.path) > 4 * MB
    desk.settings = replace(desk.settings, audit_mb=2)
    log.retain()
    assert eventually(lambda: desk.path.stat().st_size <= 2 * MB)
    assert log.records.count() > 1000
    assert kept(log)[0] == "req_3999", "the newest stay"
    log.record(row(5000))
    assert log.flush()


def wal(path: Path) -> int:
    return path.with_name("audit.db-wal").stat().st_size


def test_deleting_much_does_not_keep_new_rows_waiting(desk: Desk) -> None:
    log = desk.open()
    log.start()
    old = time.time() - 100 * DAY_SECONDS
    for number in range(40_000):
        log.record(row(number, time=old))
    assert log.flush(30)
    log.retain()
    assert longest(lambda number: log.record(row(50_000 + number)) or log.flush(10), times=20) < 1
    assert eventually(lambda: log.records.count() == 20)


def longest(act: Callable[[int], object], times: int) -> float:
    spans = []
    for number in range(times):
        began = time.monotonic()
        assert act(number)
        spans.append(time.monotonic() - began)
    return max(spans)
