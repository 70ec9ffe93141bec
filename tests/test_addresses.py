"""Which addresses and names are this machine's own, and how they are written."""

from __future__ import annotations

import pytest

from webapp.addresses import host_name, is_home, is_loopback, own_names, reachable


@pytest.mark.parametrize(
    ("address", "name"), [("127.0.0.2", "127.0.0.2"), ("localhost", "localhost"), ("0:0:0:0:0:0:0:1", "[::1]")]
)
def test_an_address_as_browsers_write_it(address: str, name: str) -> None:
    assert host_name(address) == name


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1:1", "127.8.9.10", "[::1]", "[::1]:80"])
def test_home(host: str) -> None:
    assert is_home(host)


@pytest.mark.parametrize(
    "host", ["", "box.local", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.7:1", "0.0.0.0", "[::]:80"]
)
def test_not_at_home(host: str) -> None:
    assert not is_home(host)


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.2", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.7", "box.local", "")))


@pytest.mark.parametrize(
    ("address", "there"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7"), ("localhost",) * 2]
)
def test_where_programs_of_this_machine_reach_it(address: str, there: str) -> None:
    assert reachable(address) == there


def test_own_names() -> None:
    assert any(name.endswith(".local") for name in own_names())
    assert all(name and name == name.lower() for name in own_names())
