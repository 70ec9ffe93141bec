"""The settings table: layers, checks, effects, and that the docs tell all of it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import settings_docs
from webapp.errors import InvalidFields, InvalidRequest
from webapp.settings.layers import LayeredSettings
from webapp.settings.table import Settings, table
from webapp.store.database import Database
from webapp.store.schema import MIGRATIONS
from webapp.store.settings import SettingsStore

GOOD = [
    ("port", 8080, 8080),
    ("port", "8080", 8080),
    ("port", " 8080 ", 8080),
    ("port", 8080.0, 8080),
    ("port", 0, 0),
    ("port", 65535, 65535),
    ("host", "localhost", "localhost"),
    ("host", "::1", "::1"),
    ("host", "0.0.0.0", "0.0.0.0"),
    ("allowed_hosts", "box.example, [::2]:80", ("box.example", "[::2]:80")),
    ("cors_origins", ["https://app.example", "app://obsidian.md"], ("https://app.example", "app://obsidian.md")),
    ("cors_origins", "http://localhost:3000\nhttps://a.b", ("http://localhost:3000", "https://a.b")),
    ("temperature", "0.7", 0.7),
    ("temperature", 0, 0.0),
    ("temperature", "2", 2.0),
    ("temperature", "1e-1", 0.1),
    ("temperature", None, None),
    ("temperature", "", None),
    ("theme", "dark", "dark"),
    ("log_level", "debug", "debug"),
    ("prefix_cache_mb", 0, 0),
]

WHOLE = "must be a whole number from 0 to 65535"
SHARE = "must be a number from 0 to 2"
BAD = [
    ("port", 65536, WHOLE),
    ("port", -1, WHOLE),
    ("port", "-1", WHOLE),
    ("port", 80.5, WHOLE),
    ("port", "80.5", WHOLE),
    ("port", True, WHOLE),
    ("port", [80], WHOLE),
    ("port", {"value": 80}, WHOLE),
    ("port", "1_000", WHOLE),
    ("port", "٨٠", WHOLE),
    ("port", "9" * 5000, WHOLE),
    ("port", 10**400, WHOLE),
    ("port", float("nan"), WHOLE),
    ("port", float("inf"), WHOLE),
    ("temperature", float("nan"), SHARE),
    ("temperature", float("-inf"), SHARE),
    ("temperature", "nan", SHARE),
    ("temperature", "infinity", SHARE),
    ("temperature", 2.01, SHARE),
    ("temperature", -0.1, SHARE),
    ("temperature", False, SHARE),
    ("temperature", "warm", SHARE),
    ("temperature", 10**400, SHARE),
    ("temperature", "1e999", SHARE),
    ("theme", "pink", "must be one of auto, light, dark"),
    ("theme", 1, "must be one of auto, light, dark"),
    ("theme", ["dark"], "must be one of auto, light, dark"),
    ("host", 127, "must be text"),
    ("host", "example.org", "must be an IP address of this machine"),
    ("allowed_hosts", ["box.example", "a b"], "not 'a b'"),
    ("allowed_hosts", "*", "not '*'"),
    ("allowed_hosts", [1], "must be a list of names"),
    ("cors_origins", "*", "each by its name, not '*'"),
    ("cors_origins", "https://*.example", "each by its name"),
    ("cors_origins", ["https://app.example/path"], "each by its name"),
    ("cors_origins", "null", "each by its name"),
    ("cors_origins", 5, "must be a list of origins"),
    ("batch_size", 0, "must be a whole number from 1 to 256"),
    ("speed", 1, "There is no setting 'speed'"),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SettingsStore]:
    database = Database(tmp_path / "hearth.db", MIGRATIONS)
    yield SettingsStore(database)
    database.close()


@pytest.fixture
def settings(store: SettingsStore) -> LayeredSettings:
    return LayeredSettings({}, {}, store)


def row(settings: LayeredSettings, name: str):
    return next(row for row in settings.fields() if row.name == name)


@pytest.mark.parametrize(("name", "raw", "value"), GOOD)
def test_good_values_are_typed_and_kept(settings: LayeredSettings, store: SettingsStore, name, raw, value) -> None:
    settings.save({name: raw})
    assert getattr(settings.current, name) == value
    assert type(getattr(settings.current, name)) is type(value)
    assert getattr(LayeredSettings({}, {}, store).current, name) == value


@pytest.mark.parametrize(("name", "raw", "message"), BAD)
def test_bad_values_are_refused_by_name(settings: LayeredSettings, store: SettingsStore, name, raw, message) -> None:
    with pytest.raises(InvalidRequest) as caught:
        settings.save({"batch_size": 4, name: raw} if name != "batch_size" else {name: raw})
    assert caught.value.param == name
    assert message in str(caught.value)
    assert settings.current == Settings()
    assert store.load() == {}


def test_every_error_is_told_and_nothing_is_kept(settings: LayeredSettings, store: SettingsStore) -> None:
    with pytest.raises(InvalidFields) as caught:
        settings.save({"batch_size": 4, "port": "many", "theme": "pink"})
    assert list(caught.value.errors) == ["port", "theme"]
    assert caught.value.param == "port"
    assert str(caught.value) == "Port must be a whole number from 0 to 65535."
    assert store.load() == {}


@pytest.mark.parametrize(
    ("overrides", "environ", "saved", "value", "source"),
    [
        ({}, {}, {}, 32, "default"),
        ({}, {}, {"batch_size": 8}, 8, "saved"),
        ({}, {"HEARTH_BATCH_SIZE": "16"}, {"batch_size": 8}, 16, "environment"),
        ({"batch_size": 4}, {"HEARTH_BATCH_SIZE": "16"}, {"batch_size": 8}, 4, "command line"),
        ({"batch_size": None}, {"HEARTH_BATCH_SIZE": ""}, {"batch_size": 8}, 8, "saved"),
        ({}, {"BATCH_SIZE": "16"}, {"batch_size": "junk"}, 32, "default"),
    ],
)
def test_layers(store: SettingsStore, overrides, environ, saved, value, source) -> None:
    store.save(saved)
    found = row(LayeredSettings(overrides, environ, store), "batch_size")
    assert (found.value, found.source, found.default) == (value, source, 32)
    assert found.variable == "HEARTH_BATCH_SIZE"
    assert found.fixed == (source in ("environment", "command line"))


@pytest.mark.parametrize(
    ("overrides", "environ", "message"),
    [
        ({"port": "ten"}, {}, "--port must be a whole number"),
        ({}, {"HEARTH_PORT": "ten"}, "HEARTH_PORT must be a whole number"),
        ({"log_level": "loud"}, {}, "--log-level must be one of debug"),
        ({}, {"HEARTH_HOST": "box.local"}, "HEARTH_HOST must be an IP address of this machine"),
    ],
)
def test_a_wrong_start_is_refused_in_the_users_words(store: SettingsStore, overrides, environ, message) -> None:
    with pytest.raises(InvalidFields, match=message):
        LayeredSettings(overrides, environ, store)


def test_none_puts_back_the_default(settings: LayeredSettings, store: SettingsStore) -> None:
    settings.save({"batch_size": 4, "temperature": 0.5})
    settings.save({"batch_size": None, "temperature": None})
    assert settings.current == Settings()
    assert store.load() == {}


def test_the_snapshot_is_swapped_whole(settings: LayeredSettings) -> None:
    before = settings.current
    settings.save({"batch_size": 4, "stall_ms": 20})
    assert (before.batch_size, before.stall_ms) == (Settings().batch_size, Settings().stall_ms)
    assert (settings.current.batch_size, settings.current.stall_ms) == (4, 20)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.current.port = 1  # type: ignore[misc]


def test_subscribers_see_the_change_and_tell_its_effects(settings: LayeredSettings) -> None:
    settings.on_change(lambda before, after: [f"batch size {before.batch_size} -> {after.batch_size}"])
    assert settings.save({"batch_size": 8}) == ["batch size 32 -> 8"]


def test_restart_settings_say_so(settings: LayeredSettings) -> None:
    assert settings.save({"port": 9000}) == ["Port becomes 9000 when Hearth starts again."]
    assert settings.save({"port": 9000}) == []


@pytest.mark.parametrize(
    ("overrides", "environ", "winner"),
    [({}, {"HEARTH_BATCH_SIZE": "16"}, "HEARTH_BATCH_SIZE"), ({"batch_size": 16}, {}, "--batch-size")],
)
def test_saving_a_fixed_setting_keeps_it_for_later(store: SettingsStore, overrides, environ, winner) -> None:
    settings = LayeredSettings(overrides, environ, store)
    assert settings.save({"batch_size": 8}) == [f"Batch size is saved, but {winner} still decides: it stays 16."]
    assert settings.current.batch_size == 16
    assert LayeredSettings({}, {}, store).current.batch_size == 8


def test_rows_are_plain_json_and_name_every_field(settings: LayeredSettings) -> None:
    rows = [dataclasses.asdict(row) for row in settings.fields()]
    assert json.loads(json.dumps(rows))[0]["name"] == "host"
    assert [row["name"] for row in rows] == [field.name for field in dataclasses.fields(Settings)]


def test_every_default_fits_its_own_field() -> None:
    for name, field in table().items():
        assert field.help.endswith("."), name
        if field.default is None:
            assert field.unset, name
        else:
            assert field.parse(field.default) == field.default, name


def test_the_docs_tell_every_setting() -> None:
    page = settings_docs.PAGE.read_text(encoding="utf-8")
    assert page == settings_docs.render(), "run: python tools/settings_docs.py"


def documented() -> dict[str, list[str]]:
    """The rows of docs/settings.md by the name of the setting: what it does, default, takes, environment, applies."""
    page = settings_docs.PAGE.read_text(encoding="utf-8")
    return {row[1]: row[2].split(" | ") for row in re.finditer(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)}


def test_the_docs_tell_defaults_that_are_so() -> None:
    told, rules = documented(), table()
    assert list(told) == [field.name for field in dataclasses.fields(Settings)]
    for name, (_, default, *_) in told.items():
        if default.startswith("`"):
            assert rules[name].parse(default.strip("`")) == getattr(Settings(), name), name
        else:
            assert getattr(Settings(), name) in (None, ()), name
            assert default == (rules[name].unset or "none"), name


def test_the_docs_tell_limits_that_are_so() -> None:
    bounds = {name: re.match(r"([0-9.]+) to ([0-9.]+)", takes) for name, (_, _, takes, *_) in documented().items()}
    numbers = {name: match for name, match in bounds.items() if match}
    assert len(numbers) > 15
    for name, match in numbers.items():
        rule = table()[name]
        for text, beyond in ((match[1], -1), (match[2], 1)):
            assert rule.parse(text) is not None
            with pytest.raises(ValueError, match="from"):
                rule.parse(float(text) + beyond)


def test_the_docs_name_environment_variables_that_act(store: SettingsStore) -> None:
    told = documented()
    for name, value in (("memory_limit", "3"), ("theme", "dark"), ("pinned", "one, two"), ("idle_minutes", "1.5")):
        settings = LayeredSettings({}, {told[name][3].strip("`"): value}, store)
        assert getattr(settings.current, name) == table()[name].parse(value)
