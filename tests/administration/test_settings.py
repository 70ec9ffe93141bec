"""The desk for settings: each value is parsed once, and two changes at a time are both kept."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LLAMA, QWEN
from webapp.administration.keys import KeyDesk
from webapp.administration.settings import SettingsDesk
from webapp.audit.log import AuditLog
from webapp.catalog.installed import Catalog
from webapp.errors import InvalidFields
from webapp.generation import InstalledModel
from webapp.people.keys import Keys
from webapp.settings.layers import LayeredSettings
from webapp.settings.table import Settings, table
from webapp.store.database import Database
from webapp.store.keys import KeyStore
from webapp.store.schema import AUDIT
from webapp.store.settings import SettingsStore


class WatchedCatalog(Catalog):
    """Says when somebody has looked for a model."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.looked_for: dict[str, threading.Event] = {QWEN: threading.Event(), LLAMA: threading.Event()}

    def find(self, model_id: str) -> InstalledModel:
        found = super().find(model_id)
        self.looked_for[model_id].set()
        return found


class WaitingStore(SettingsStore):
    """Its first save begins and does not end before it may."""

    def __init__(self, database: Database):
        super().__init__(database)
        self.begun, self.may_end = threading.Event(), threading.Event()

    def save(self, values: Mapping[str, object], removed: Collection[str] = ()) -> None:
        self.begun.set()
        assert self.may_end.wait(10)
        super().save(values, removed)


@pytest.fixture
def catalog(tmp_path: Path, models_dir: Path) -> WatchedCatalog:
    return WatchedCatalog(tmp_path / "none", (models_dir,), {"HF_HUB_CACHE": str(tmp_path / "none")})


@pytest.fixture
def store(database: Database) -> WaitingStore:
    return WaitingStore(database)


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    audit = AuditLog(Database(tmp_path / "audit.db", AUDIT), Settings)
    audit.start()
    yield audit
    audit.close()


@pytest.fixture
def keys(database: Database) -> Iterator[Keys]:
    keys = Keys(KeyStore(database))
    yield keys
    keys.close()


def test_a_setting_is_parsed_once_on_its_way(
    store: WaitingStore, catalog: Catalog, keys: Keys, audit: AuditLog
) -> None:
    parsed: list[str] = []
    counted = {name: replace(field, check=lambda _, name=name: parsed.append(name)) for name, field in table().items()}
    obeyed: list[Settings] = []
    settings = LayeredSettings({}, {}, store, counted)
    settings.on_change(lambda before, after: [str(obeyed.append(after))])
    store.may_end.set()
    SettingsDesk(settings, catalog, KeyDesk(keys, audit, exposed=False), audit).save(
        "page", {"pinned": QWEN, "preload": LLAMA, "host": "127.0.0.2", "batch_size": " 4 "}
    )
    assert sorted(parsed) == ["batch_size", "host", "pinned", "preload"]
    assert obeyed == [Settings(pinned=(QWEN,), preload=(LLAMA,), host="127.0.0.2", batch_size=4)]


def test_all_that_is_wrong_is_said_at_once(store: WaitingStore, catalog: Catalog, keys: Keys, audit: AuditLog) -> None:
    desk = SettingsDesk(LayeredSettings({}, {}, store), catalog, KeyDesk(keys, audit, exposed=False), audit)
    with pytest.raises(InvalidFields) as refusal:
        desk.save("page", {"batch_size": "many", "pinned": "gone", "host": "0.0.0.0", "nonsense": 1})
    assert set(refusal.value.errors) == {"batch_size", "pinned", "host", "nonsense"}
    assert not store.begun.is_set()


def test_two_pins_at_a_time_are_both_kept(
    store: WaitingStore, catalog: WatchedCatalog, keys: Keys, audit: AuditLog
) -> None:
    settings = LayeredSettings({}, {}, store)
    desk = SettingsDesk(settings, catalog, KeyDesk(keys, audit, exposed=False), audit)
    first, second = (threading.Thread(target=desk.pin, args=("page", model, True)) for model in (QWEN, LLAMA))
    first.start()
    assert store.begun.wait(10)
    second.start()
    assert catalog.looked_for[LLAMA].wait(10)
    store.may_end.set()
    first.join(10)
    second.join(10)
    assert settings.current.pinned == (QWEN, LLAMA)
    assert store.load() == {"pinned": [QWEN, LLAMA]}
