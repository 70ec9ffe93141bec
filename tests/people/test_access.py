"""Who is let in where: by key, by cookie, by sitting before the machine; and wrong keys that come too often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from webapp.errors import Forbidden, NotAuthenticated, SignInRequired, TooManyAttempts
from webapp.people.access import FAILURES_SECONDS, MOST_ADDRESSES, MOST_FAILURES, Access, Attempts, Credential, Visitor
from webapp.people.keys import Keys
from webapp.store.database import Database
from webapp.store.keys import KeyStore
from webapp.store.schema import MIGRATIONS

HERE = "127.0.0.1"
NONE = Credential()
EVERYWHERE = ("/", "/chat", "/api/keys", "/v1/models", "/metrics", "/live", "/nowhere", "/v1", "/healthz", "/login/x")


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    database = Database(tmp_path / "hearth.db", MIGRATIONS)
    keys = Keys(KeyStore(database))
    yield keys
    keys.close()
    database.close()


@pytest.fixture
def home(keys: Keys) -> Access:
    return Access(keys, exposed=False, owner_signs_in=lambda: False, place="a")


@pytest.fixture
def exposed(keys: Keys) -> Access:
    return Access(keys, exposed=True, owner_signs_in=lambda: False, place="a")


def secret_of(keys: Keys, **values: object) -> str:
    return keys.create({"name": "laptop", **values})[1]


@pytest.mark.parametrize(
    ("authorization", "api_key", "secret"),
    [
        ("", "", None),
        ("Bearer abc", "", "abc"),
        ("bearer  abc ", "", "abc"),
        ("", " abc ", "abc"),
        ("Bearer abc", "abc", "abc"),
        ("Bearer abc", "other", ""),
        ("Bearer", "", None),
        ("Bearer ", "", None),
        ("Basic abc", "", None),
        ("abc", "", None),
        ("Basic abc", "xyz", "xyz"),
        ("Bearer abc, Bearer xyz", "", "abc, Bearer xyz"),
        ("Bearer none", "none", None),
        ("Bearer none", "xyz", "xyz"),
        ("", "None", "None"),
    ],
)
def test_one_parser(authorization: str, api_key: str, secret: str | None) -> None:
    assert Credential.of(authorization, api_key, None).key == secret
    assert Credential.of(authorization, api_key, "c") == Credential(secret, "c")


@pytest.mark.parametrize("path", EVERYWHERE)
def test_at_home_it_is_open_whether_there_are_keys_or_not(home: Access, keys: Keys, path: str) -> None:
    assert home.admit(NONE, path, HERE, True) == Visitor()
    secret_of(keys)
    assert home.admit(NONE, path, HERE, True) == Visitor()
    assert home.admit(Credential(session="of another Hearth"), path, HERE, True) == Visitor()


def test_what_clients_send_in_place_of_a_key_counts_only_once_there_are_keys(home: Access, keys: Keys) -> None:
    assert home.admit(Credential("sk-local"), "/v1/models", HERE, True) == Visitor()
    secret_of(keys)
    with pytest.raises(NotAuthenticated):
        home.admit(Credential("sk-local"), "/v1/models", HERE, True)


@pytest.mark.parametrize("path", EVERYWHERE)
def test_elsewhere_nobody_gets_in_without_a_key(exposed: Access, home: Access, keys: Keys, path: str) -> None:
    for credential in (NONE, Credential("x"), Credential(""), Credential(session="x")):
        with pytest.raises(NotAuthenticated):
            exposed.admit(credential, path, "192.0.2.1", True)
    with pytest.raises(NotAuthenticated):
        home.admit(NONE, path, HERE, False)


@pytest.mark.parametrize("path", ["/health", "/login", "/sign-in", "/static/app.css"])
def test_what_is_open_to_all(exposed: Access, path: str) -> None:
    for credential in (NONE, Credential("x"), Credential(session="x")):
        assert exposed.admit(credential, path, "192.0.2.1", False).name is None


@pytest.mark.parametrize("at_home", [True, False])
def test_a_key_for_inference_is_for_v1_alone(exposed: Access, home: Access, keys: Keys, at_home: bool) -> None:
    sent = Credential(secret_of(keys))
    for access in (exposed, home):
        assert access.admit(sent, "/v1/models", HERE, at_home).name == "laptop"
        for path in EVERYWHERE:
            if not path.startswith("/v1/"):
                with pytest.raises(Forbidden) as caught:
                    access.admit(sent, path, HERE, at_home)
                assert caught.value.code == "insufficient_scope"


def test_an_admin_key_is_for_all(exposed: Access, keys: Keys) -> None:
    sent = Credential(secret_of(keys, scope="admin"))
    for path in EVERYWHERE:
        assert exposed.admit(sent, path, "192.0.2.1", False) == Visitor("laptop", "admin")


def test_signing_in_and_out(exposed: Access, keys: Keys) -> None:
    cookie = Credential(session=exposed.sign_in(secret_of(keys, scope="admin"), "192.0.2.1"))
    assert exposed.admit(cookie, "/chat", "192.0.2.1", False) == Visitor("laptop", "admin", signed_in=True)
    exposed.sign_out(cookie)
    with pytest.raises(NotAuthenticated):
        exposed.admit(cookie, "/chat", "192.0.2.1", False)
    exposed.sign_out(NONE)


def test_nobody_signs_in_with_less(exposed: Access, keys: Keys) -> None:
    with pytest.raises(Forbidden):
        exposed.sign_in(secret_of(keys), "192.0.2.1")
    with pytest.raises(NotAuthenticated):
        exposed.sign_in("", "192.0.2.1")


def test_this_computer_s_owner(exposed: Access, keys: Keys) -> None:
    cookie = Credential(session=keys.begin_session(None))
    assert exposed.admit(cookie, "/api/keys", HERE, True) == Visitor(signed_in=True)


def test_where_the_owner_signs_in_pages_are_the_owner_s(keys: Keys) -> None:
    access = Access(keys, exposed=False, owner_signs_in=lambda: True, place="a")
    for path in EVERYWHERE:
        if path.startswith("/v1/"):
            assert access.admit(NONE, path, HERE, True) == Visitor()
            continue
        with pytest.raises(SignInRequired):
            access.admit(NONE, path, HERE, True)
        assert access.admit(Credential(session=keys.begin_session(None)), path, HERE, True).signed_in


def test_a_list_of_models(exposed: Access, keys: Keys) -> None:
    visitor = exposed.admit(Credential(secret_of(keys, models=["ember"])), "/v1/models", HERE, True)
    visitor.check_model("ember")
    with pytest.raises(Forbidden, match="may not use 'other', only ember") as caught:
        visitor.check_model("other")
    assert (caught.value.code, caught.value.param) == ("model_not_allowed", "model")


@pytest.mark.parametrize(
    ("visitor", "owners"),
    [
        (Visitor(), ["ada", "ben", None]),
        (Visitor("ada"), ["ada", "ben", None]),
        (Visitor("ada", scope="inference"), ["ada"]),
        (Visitor(scope="inference"), []),
    ],
)
def test_whose_requests_one_may_cancel(visitor: Visitor, owners: list[str | None]) -> None:
    assert [owner for owner in ("ada", "ben", None) if visitor.may_cancel(owner)] == owners


def test_two_hearths_of_one_host_have_cookies_of_their_own(keys: Keys) -> None:
    names = {Access(keys, False, lambda: False, place).cookie_name for place in ("a", "b")}
    assert len(names) == 2 and all(name.startswith("hearth-") for name in names)


# Wrong keys


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_twenty_wrong_keys_in_a_minute_are_enough(keys: Keys) -> None:
    clock = Clock()
    access = Access(keys, exposed=True, owner_signs_in=lambda: False, place="a", clock=clock)
    right = Credential(secret_of(keys))
    session = Credential(session=keys.begin_session(None))
    for _ in range(MOST_FAILURES):
        with pytest.raises(NotAuthenticated):
            access.admit(Credential("wrong"), "/v1/models", "192.0.2.1", False)
    for sent in (Credential("wrong"), right):
        with pytest.raises(TooManyAttempts) as caught:
            access.admit(sent, "/v1/models", "192.0.2.1", False)
        assert caught.value.retry_after_seconds == FAILURES_SECONDS
    with pytest.raises(TooManyAttempts):
        access.sign_in("wrong", "192.0.2.1")
    assert access.admit(session, "/chat", "192.0.2.1", False).signed_in
    assert access.admit(right, "/v1/models", "192.0.2.2", False).name == "laptop"
    clock.now += FAILURES_SECONDS
    assert access.admit(right, "/v1/models", "192.0.2.1", False).name == "laptop"


def test_one_machine_is_one_network_of_ipv6(keys: Keys) -> None:
    attempts = Attempts(Clock())
    for host in range(MOST_FAILURES):
        attempts.fail(f"2001:db8::{host:x}")
    with pytest.raises(TooManyAttempts):
        attempts.check("2001:db8::ffff:1%eth0")
    attempts.check("2001:db8:0:1::1")


def test_only_so_many_addresses_are_remembered() -> None:
    attempts = Attempts(Clock())
    for number in range(MOST_ADDRESSES + 500):
        attempts.fail(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts._failures) == MOST_ADDRESSES
