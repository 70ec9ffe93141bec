"""Profiles: checked by field, kept over a restart, and told to whoever obeys them."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from tests.conftest import LLAMA, QWEN
from webapp.catalog.installed import Catalog
from webapp.errors import Conflict, InvalidFields, InvalidRequest, ProfileNotFound
from webapp.routing.profiles import Profile, Profiles
from webapp.store.database import Database
from webapp.store.profiles import ProfileStore
from webapp.store.schema import MIGRATIONS


@pytest.fixture
def catalog(tmp_path: Path, models_dir: Path) -> Catalog:
    return Catalog(tmp_path / "none", (models_dir,), {"HF_HUB_CACHE": str(tmp_path / "none")})


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(Database(tmp_path / "hearth.db", MIGRATIONS))


@pytest.fixture
def profiles(store: ProfileStore, catalog: Catalog) -> Profiles:
    return Profiles(store, catalog)


FULL = {
    "name": "team/pirate",
    "model": QWEN,
    "system_prompt": "  Talk like a pirate.\n",
    "temperature": 0,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "max_tokens": 64,
    "context_length": 512,
    "template_options": {"enable_thinking": False, "effort": "low", "n": 3, "x": None},
    "idle_minutes": 2.5,
    "pinned": True,
}


def test_a_profile_is_kept_as_it_was_made(profiles: Profiles, store: ProfileStore, catalog: Catalog) -> None:
    made = profiles.create(FULL)
    assert {name: getattr(made, name) for name in FULL} == FULL
    assert made.created > 0
    assert dict(Profiles(store, catalog).current) == {"team/pirate": made}
    with pytest.raises(FrozenInstanceError):
        made.name = "other"  # type: ignore[misc]


def test_what_is_null_or_blank_is_not_set(profiles: Profiles) -> None:
    made = profiles.create({"name": "bare", "model": QWEN, "top_p": None, "max_tokens": "", "template_options": {}})
    assert made == Profile("bare", QWEN, created=made.created)
    assert made.choices == {}


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"name": None}, "name", "Name is missing"),
        ({"name": "/etc"}, "name", "letters, digits"),
        ({"name": "a//b"}, "name", "letters, digits"),
        ({"name": "a/"}, "name", "letters, digits"),
        ({"name": "a/../b"}, "name", "letters, digits"),
        ({"name": "."}, "name", "letters, digits"),
        ({"name": "a b"}, "name", "letters, digits"),
        ({"name": "ä"}, "name", "letters, digits"),
        ({"name": "a" * 101}, "name", "100"),
        ({"name": 7}, "name", "letters, digits"),
        ({"name": "new"}, "name", "address of the empty form"),
        ({"model": None}, "model", "Model is missing"),
        ({"model": "gone/model"}, "model", "'gone/model' is not installed"),
        ({"model": "taken"}, "model", "a profile itself"),
        ({"model": 1}, "model", "id of an installed model"),
        ({"temperature": 2.1}, "temperature", "from 0 to 2"),
        ({"temperature": True}, "temperature", "a number"),
        ({"temperature": float("nan")}, "temperature", "a number"),
        ({"top_p": 0}, "top_p", "from 0.001 to 1"),
        ({"top_k": 1.5}, "top_k", "a whole number"),
        ({"min_p": -1}, "min_p", "from 0"),
        ({"repetition_penalty": 0}, "repetition_penalty", "from 0.001 to 2"),
        ({"max_tokens": 0}, "max_tokens", "from 1"),
        ({"context_length": 4097}, "context_length", "at most 4,096"),
        ({"system_prompt": ["x"]}, "system_prompt", "must be text"),
        ({"system_prompt": "x" * 100_001}, "system_prompt", "100,000"),
        ({"template_options": [1]}, "template_options", "object"),
        ({"template_options": {"a": {"b": 1}}}, "template_options", "plain values"),
        ({"template_options": {"a": "\ud800"}}, "template_options", "plain values"),
        ({"template_options": {"a": float("inf")}}, "template_options", "plain values"),
        ({"template_options": {"chat_template": "x"}}, "template_options", "cannot set 'chat_template'"),
        ({"template_options": {"a b": 1}}, "template_options", "cannot set 'a b'"),
        ({"template_options": {f"a{n}": n for n in range(33)}}, "template_options", "at most 32"),
        ({"idle_minutes": -1}, "idle_minutes", "from 0"),
        ({"pinned": "yes"}, "pinned", "true or false"),
        ({"top_q": 1}, "top_q", "no field 'top_q'"),
        ({"created": 1}, "created", "no field 'created'"),
    ],
)
def test_a_field_that_does_not_fit_is_named(profiles: Profiles, fields: dict, param: str, said: str) -> None:
    profiles.create({"name": "taken", "model": QWEN})
    with pytest.raises(InvalidRequest) as refusal:
        profiles.create({"name": "x", "model": QWEN, **fields})
    assert refusal.value.param == param
    assert said in str(refusal.value)
    assert list(profiles.current) == ["taken"]


def test_all_that_is_wrong_is_said_at_once(profiles: Profiles) -> None:
    with pytest.raises(InvalidFields) as refusal:
        profiles.create({"name": " ", "model": "gone", "temperature": 9, "nonsense": 1})
    assert set(refusal.value.errors) == {"name", "model", "temperature", "nonsense"}


@pytest.mark.parametrize("name", ["taken", LLAMA])
def test_a_taken_name_is_refused(profiles: Profiles, name: str) -> None:
    profiles.create({"name": "taken", "model": QWEN})
    profiles.create({"name": "x", "model": QWEN})
    for attempt in (
        lambda: profiles.create({"name": name, "model": QWEN}),
        lambda: profiles.replace("x", {"name": name, "model": QWEN}),
    ):
        with pytest.raises(Conflict) as refusal:
            attempt()
        assert (refusal.value.code, refusal.value.param) == ("name_taken", "name")
    assert list(profiles.current) == ["taken", "x"]


def test_replacing_renames_and_forgets_what_is_left_out(
    profiles: Profiles, store: ProfileStore, catalog: Catalog
) -> None:
    before = profiles.create(FULL)
    after = profiles.replace("team/pirate", {"name": "cook", "model": LLAMA})
    assert after == Profile("cook", LLAMA, created=before.created)
    assert profiles.replace("cook", {"model": QWEN}).name == "cook"
    assert dict(profiles.current) == dict(Profiles(store, catalog).current)
    assert list(profiles.current) == ["cook"]
    assert (profiles.model_of("cook"), profiles.model_of("other")) == (QWEN, "other")


def test_deleting(profiles: Profiles, store: ProfileStore, catalog: Catalog) -> None:
    profiles.create(FULL)
    profiles.delete("team/pirate")
    assert not profiles.current and not Profiles(store, catalog).current
    for attempt in (lambda: profiles.delete("team/pirate"), lambda: profiles.replace("team/pirate", FULL)):
        with pytest.raises(ProfileNotFound, match="team/pirate"):
            attempt()


def test_pins_and_idle_times_are_told_to_who_obeys(profiles: Profiles) -> None:
    told: list[tuple[frozenset[str], dict[str, float]]] = []
    profiles.on_change(lambda: told.append((profiles.pinned_models(), dict(profiles.idle_seconds()))))
    profiles.create({"name": "a", "model": QWEN, "idle_minutes": 1})
    profiles.create({"name": "b", "model": QWEN, "idle_minutes": 5, "pinned": True})
    profiles.create({"name": "c", "model": LLAMA})
    profiles.replace("a", {"model": QWEN, "idle_minutes": 0})
    profiles.delete("b")
    assert told == [
        (frozenset(), {QWEN: 60}),
        (frozenset({QWEN}), {QWEN: 300}),
        (frozenset({QWEN}), {QWEN: 300}),
        (frozenset({QWEN}), {QWEN: 0}),
        (frozenset(), {QWEN: 0}),
    ]


def test_what_was_saved_and_no_longer_fits_is_not_set(tmp_path: Path, catalog: Catalog) -> None:
    database = Database(tmp_path / "hearth.db", MIGRATIONS)
    Profiles(ProfileStore(database), catalog).create(FULL)
    with database.write() as tx:
        tx.query("UPDATE profiles SET choices = :choices", choices='{"temperature": 9, "max_tokens": 5, "old": 1}')
    (kept,) = Profiles(ProfileStore(database), catalog).current.values()
    assert (kept.temperature, kept.max_tokens) == (None, 5)


def test_of_many_who_want_one_name_one_gets_it(profiles: Profiles) -> None:
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            outcomes.append(profiles.create({"name": "one", "model": QWEN}).name)
        except Conflict as refusal:
            outcomes.append(refusal.code or "")

    threads = [threading.Thread(target=attempt) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["name_taken"] * 15 + ["one"]
