"""Tickets and the cookies they become: good once, for a short while, and nobody else's to read."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from webapp.sessions import GOOD_FOR_SECONDS as SESSION_SECONDS
from webapp.sessions import Sessions
from webapp.tickets import GOOD_FOR_SECONDS, Tickets


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


def test_a_cookie_outlives_the_server_and_not_its_key(tmp_path: Path) -> None:
    key = tmp_path / "sign-in.key"
    cookie = Sessions(key).issue()
    assert Sessions(key).holds(cookie)
    assert key.stat().st_mode & 0o777 == 0o600
    name = Sessions(key).cookie_name
    key.unlink()
    assert not Sessions(key).holds(cookie)
    assert Sessions(key).cookie_name != name


def test_a_cookie_that_was_not_issued_or_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(tmp_path / "key")
    cookie = sessions.issue()
    issued, nonce, seal = cookie.split(".")
    for wrong in ("", "x", f"{int(issued) + 1}.{nonce}.{seal}", f"{issued}.{nonce}.{'0' * 64}", cookie + "0"):
        assert not sessions.holds(wrong)
    later = time.time() + SESSION_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    assert not sessions.holds(cookie)
