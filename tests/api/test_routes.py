"""The routes that need no client library: health, pool, settings, and what HTTP itself gets wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Hearth


@pytest.fixture
def http(hearth: Hearth) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hearth.base_url, timeout=30) as client:
        yield client


def test_health_of_program_and_engine(http: httpx.Client, hearth: Hearth) -> None:
    for path, app in (("/health", "hearth"), ("/v1/health", "mlx_server")):
        response = http.get(path)
        assert response.status_code == 200
        report = response.json()
        assert (report["status"], report["app"], report["version"]) == ("healthy", app, hearth.server.version)
    hearth.server.backend.wait(60)
    assert ("OpenBLAS " in http.get("/v1/health").json()["blas"]) == (sys.platform == "linux")


def test_pool_tells_of_models_and_requests(http: httpx.Client, hearth: Hearth) -> None:
    body = {"model": hearth.models[0], "messages": [{"role": "user", "content": "Go on."}], "max_tokens": 3000}
    with http.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as stream:
        lines = stream.iter_lines()
        assert any("content" in line for line in lines)
        time.sleep(0.2)  # a snapshot is at most 0.1 s old
        pool = httpx.get(f"{hearth.base_url}/api/pool").json()
    assert pool["limit_bytes"] > pool["used_bytes"] > 0
    assert (pool["running"], pool["waiting"], pool["policy"]) == (1, 0, "lru")
    (request,) = pool["requests"]
    assert request["id"] == stream.headers["x-request-id"]
    assert request.keys() >= {"model", "state", "prompt_tokens", "cached_tokens", "completion_tokens", "age_seconds"}
    loaded = {model["id"]: model for model in pool["models"]}[hearth.models[0]]
    assert (loaded["state"], loaded["leases"], loaded["pinned"]) == ("loaded", 1, False)
    assert loaded["weights_bytes"] > 0 and loaded["kv_bytes"] >= 0


def test_settings_are_read_and_saved(http: httpx.Client) -> None:
    before = http.get("/api/settings").json()["settings"]
    assert before["max_tokens"].keys() >= {"value", "source", "default", "minimum", "maximum", "applies"}
    saved = http.put("/api/settings", json={"max_tokens": 100, "theme": "dark"})
    assert saved.status_code == 200 and isinstance(saved.json()["effects"], list)
    assert saved.json()["settings"] == http.get("/api/settings").json()["settings"]
    assert saved.json()["settings"]["max_tokens"]["value"] == 100
    assert saved.json()["settings"]["theme"]["source"] == "saved"
    reset = http.put("/api/settings", json={"max_tokens": None, "theme": None})
    assert reset.json()["settings"] == before


def test_one_wrong_setting_changes_none(http: httpx.Client) -> None:
    before = http.get("/api/settings").json()
    refused = http.put("/api/settings", json={"theme": "dark", "batch_size": True, "port": -1, "nonsense": 1})
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["type"]) == (400, "batch_size", "invalid_request_error")
    assert error["errors"].keys() == {"batch_size", "port", "nonsense"}
    assert http.get("/api/settings").json() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"'])
def test_settings_take_a_json_object(http: httpx.Client, body: bytes) -> None:
    response = http.put("/api/settings", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "method, path, status, code",
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("GET", "/api/nothing", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/api/settings", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/v1/models/nobody/has/this", 404, "model_not_found"),
        ("POST", "/v1/requests/req_unknown/cancel", 404, "request_not_found"),
        ("POST", "/v1/chat/completions", 415, "unsupported_media_type"),
        ("PUT", "/api/settings", 415, "unsupported_media_type"),
    ],
)
def test_refusals_are_json_with_an_id(http: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    response = http.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"] and response.headers["cache-control"] == "no-store"


def test_a_form_cannot_ask_for_an_answer(http: httpx.Client, hearth: Hearth) -> None:
    body = f'{{"model": "{hearth.models[0]}", "messages": [{{"role": "user", "content": "hi"}}], "max_tokens": 1}}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        response = http.post("/v1/chat/completions", content=body, headers={"Content-Type": content_type})
        assert response.status_code == 415
    charset = {"Content-Type": "application/json; charset=utf-8"}
    assert http.post("/v1/chat/completions", content=body, headers=charset).status_code == 200
