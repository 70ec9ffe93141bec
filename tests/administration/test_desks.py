"""Each act of administration leaves one row in the audit, refused ones too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import QWEN, Hearth, run_server
from webapp.server import Server


@pytest.fixture
def http(tmp_path: Path, models_dir: Path) -> Iterator[httpx.Client]:
    server = run_server(tmp_path, (models_dir,))
    with httpx.Client(base_url=next(server).base_url, timeout=60) as client:
        yield client
    server.close()  # type: ignore[attr-defined]


def acts(http: httpx.Client) -> list[tuple[str, str, str, str | None]]:
    """Who did what, newest first, and how it went."""
    rows = http.get("/api/audit/logs", params={"kind": "admin"}).json()["logs"]
    return [(row["who"], row["endpoint"], row["status"], row["code"]) for row in rows]


def detail(http: httpx.Client) -> dict[str, object]:
    """Of the newest act."""
    row = http.get("/api/audit/logs", params={"kind": "admin", "limit": 1}).json()["logs"][0]
    return dict(json.loads(row["detail"]))


def test_settings_before_and_after(http: httpx.Client) -> None:
    http.put("/api/settings", json={"batch_size": 8, "theme": "dark"})
    assert acts(http) == [("api", "settings.save", "ok", None)]
    assert detail(http) == {
        "target": "batch_size, theme",
        "before": {"batch_size": 32, "theme": "auto"},
        "after": {"batch_size": 8, "theme": "dark"},
    }
    http.post("/settings", data={"batch_size": "many"})
    assert acts(http)[0] == ("page", "settings.save", "refused", None)


def test_models_by_hand(http: httpx.Client) -> None:
    http.post("/api/models/load", json={"model": QWEN})
    http.post("/activity/unload", data={"model": QWEN})
    http.post("/api/models/unload", json={"model": QWEN})
    assert acts(http) == [
        ("api", "models.unload", "refused", "not_loaded"),
        ("page", "models.unload", "ok", None),
        ("api", "models.load", "ok", None),
    ]


def test_an_unload_does_not_fail_for_an_engine_that_is_slow_to_obey(exposed: Server) -> None:
    assert "obeys after" in exposed.administration.models.unload("page", QWEN, patience_seconds=0)


def test_profiles(http: httpx.Client) -> None:
    http.post("/api/profiles", json={"name": "helper", "model": QWEN, "temperature": 0})
    http.put("/api/profiles/helper", json={"model": QWEN, "temperature": 1})
    assert detail(http)["before"] == {"name": "helper", "model": QWEN, "temperature": 0}
    assert detail(http)["after"] == {"name": "helper", "model": QWEN, "temperature": 1}
    http.delete("/api/profiles/helper")
    http.delete("/api/profiles/helper")
    assert acts(http) == [
        ("api", "profiles.delete", "refused", "profile_not_found"),
        ("api", "profiles.delete", "ok", None),
        ("api", "profiles.replace", "ok", None),
        ("api", "profiles.create", "ok", None),
    ]


def test_a_model_named_anew_must_be_installed_and_one_that_is_gone_may_stay(tmp_path: Path, models_dir: Path) -> None:
    server = run_server(tmp_path, (models_dir,))
    hearth: Hearth = next(server)
    hearth.server.settings.save({"pinned": ["gone"]})
    with httpx.Client(base_url=hearth.base_url) as http:
        assert http.put("/api/settings", json={"pinned": ["gone", QWEN]}).status_code == 200
        refused = http.put("/api/settings", json={"pinned": ["gone", "nobody/nothing"]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "pinned")
    server.close()  # type: ignore[attr-defined]
