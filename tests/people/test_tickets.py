"""Tickets and the cookies they become: good once, for a short while, and nobody else's to read."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from webapp.people.tickets import GOOD_FOR_SECONDS, Tickets


def test_a_ticket_is_good_once(tmp_path: Path) -> None:
    tickets = Tickets(tmp_path)
    ticket = tickets.issue()
    assert Tickets(tmp_path).redeem(ticket)
    assert not tickets.redeem(ticket)


def test_of_many_who_come_at_once_one_is_let_in(tmp_path: Path) -> None:
    tickets = Tickets(tmp_path)
    ticket = tickets.issue()
    with ThreadPoolExecutor(16) as crowd:
        assert sum(crowd.map(lambda _: tickets.redeem(ticket), range(64))) == 1


def test_an_old_ticket_is_not_good_and_goes(tmp_path: Path) -> None:
    tickets = Tickets(tmp_path)
    old, older = tickets.issue(), tickets.issue()
    long_ago = time.time() - GOOD_FOR_SECONDS - 1
    for ticket in (old, older):
        os.utime(tmp_path / "tickets" / ticket, (long_ago, long_ago))
    assert not tickets.redeem(old)
    fresh = tickets.issue()
    assert [file.name for file in (tmp_path / "tickets").iterdir()] == [fresh]


def test_an_old_one_that_cannot_be_deleted_hinders_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    in_the_way = tmp_path / "tickets" / "no-file"
    in_the_way.mkdir(parents=True)
    os.utime(in_the_way, (0, 0))
    tickets = Tickets(tmp_path)
    assert tickets.redeem(tickets.issue())
    assert "could not be deleted" in caplog.text


@pytest.mark.parametrize("ticket", ["", ".", "../server.json", "a" * 43, "a" * 42 + "/", "a" * 500])
def test_what_is_no_ticket(tmp_path: Path, ticket: str) -> None:
    (tmp_path / "server.json").write_text("{}")
    tickets = Tickets(tmp_path)
    tickets.issue()
    assert not tickets.redeem(ticket)
    assert (tmp_path / "server.json").exists()


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    page = Tickets(tmp_path).page("http://127.0.0.1:1")
    ticket = re.search(r"ticket=([\w-]{43})", page.read_text())
    assert ticket is not None
    assert page.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tickets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "tickets" / ticket[1]).stat().st_mode & 0o777 == 0o600
