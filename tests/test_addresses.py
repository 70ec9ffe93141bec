"""Which addresses and names are this machine's own, and how they are written."""

from __future__ import annotations

import pytest

from webapp.addresses import Host, Origin, a_host, an_origin, host_name, is_loopback, network_of, own_names, reachable


@pytest.mark.parametrize(
    ("address", "name"), [("127.0.0.2", "127.0.0.2"), ("localhost", "localhost"), ("0:0:0:0:0:0:0:1", "[::1]")]
)
def test_an_address_as_browsers_write_it(address: str, name: str) -> None:
    assert host_name(address) == name


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:80", "127.0.0.1:1", "127.8.9.10", "[::1]", "[::1]:80", "[0:0:0:0:0:0:0:1]",
        "[::FFFF:127.0.0.1]:1",
    ],
)  # fmt: skip
def test_home(host: str) -> None:
    assert is_home(host)


def is_home(text: str) -> bool:
    host = Host.of(text)
    return host is not None and host.is_home


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost.",
        "box.local",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.7:1",
        "0.0.0.0",
        "[::]:80",
    ],
)
def test_not_at_home(host: str) -> None:
    assert not is_home(host)


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.2", "::1", "localhost", "Localhost", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.7", "box.local", "")))


@pytest.mark.parametrize(
    ("address", "there"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7"), ("localhost",) * 2]
)
def test_where_programs_of_this_machine_reach_it(address: str, there: str) -> None:
    assert reachable(address) == there


def test_own_names() -> None:
    assert any(name.endswith(".local") for name in own_names())
    names = own_names()
    assert names and all(name and name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("Hearth.Example:080", "hearth.example", 80),
        ("[2001:DB8:0::7]:1", "[2001:db8::7]", 1),
        ("[::ffff:192.0.2.7]", "192.0.2.7", None),
    ],
)
def test_a_host_has_one_form(text: str, name: str, port: int | None) -> None:
    assert Host.of(text) == Host(name, port)


@pytest.mark.parametrize("text", ["", "a b", "a,b", "a:99999", "a:b", "[1::2::3]", "[evil]", "user@host", "a/b", "ſ"])
def test_what_is_no_host(text: str) -> None:
    assert Host.of(text) is None


def test_hosts_are_allowed_by_name_or_with_their_port() -> None:
    assert Host("box", 80).is_among(["BOX"]) and Host("box", 80).is_among(["box:80"])
    assert not Host("box", 80).is_among(["box:81", "boxes", "no host at all"])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://LOCALHOST:10242", "localhost:10242"),
        ("http://box", "box:80"),
        ("https://hearth.example", "hearth.example"),
        ("http://[0:0::1]:5", "[::1]:5"),
    ],
)
def test_a_page_of_the_same_host(origin: str, host: str) -> None:
    page, here = Origin.of(origin), Host.of(host)
    assert page is not None and here is not None and page.is_of(here)


@pytest.mark.parametrize(
    "origin", ["http://box:81", "http://other", "null", "tauri://box", "http://box/path", "http://a@box"]
)
def test_a_page_of_another(origin: str) -> None:
    page = Origin.of(origin)
    assert page is None or not page.is_of(Host("box"))


def test_origins_are_allowed_whatever_their_spelling() -> None:
    app = Origin.of("https://App.example:443")
    assert app is not None and app.is_among(["https://app.example"])
    assert not app.is_among(["http://app.example", "https://app.example:444", "nonsense"])


def test_settings_of_hosts_and_origins() -> None:
    for good in ("hearth.example", "hearth.example:10242", "[::1]"):
        a_host(good)
    an_origin("tauri://localhost")
    for bad in ("", "-", "a b", "http://a", "*"):
        with pytest.raises(ValueError, match="names such as"):
            a_host(bad)
    for bad in ("", "*", "null", "app.example", "https://a/b"):
        with pytest.raises(ValueError, match="origins such as"):
            an_origin(bad)


def test_one_machine_is_one_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::2") == network_of("2001:db8::3%eth0")
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("nonsense") == "nonsense"
