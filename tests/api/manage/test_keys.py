"""Keys over HTTP: made, listed and revoked; what each may do on every route there is; what the audit says of it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import LLAMA, QWEN, Hearth, run_server
from tests.wsgi.conftest import eventually
from webapp.app import create_app
from webapp.program.bench.bench import run

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "prompt": "Hi", "input": "Hi", "max_tokens": 2}


@dataclass(frozen=True)
class Running:
    url: str
    pid: int = os.getpid()


@pytest.fixture(scope="module")
def hearth(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    """As a server that other machines reach, with one admin key; its socket is of this machine alone."""
    yield from run_server(tmp_path_factory.mktemp("keys"), (models_dir,), host="0.0.0.0")


@pytest.fixture(scope="module")
def admin(hearth: Hearth) -> Iterator[httpx.Client]:
    secret = hearth.server.keys.create({"name": "owner", "scope": "admin"})[1]
    with httpx.Client(base_url=hearth.base_url, headers={"Authorization": f"Bearer {secret}"}, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def fresh(hearth: Hearth, admin: httpx.Client) -> Iterator[None]:
    yield
    for key in hearth.server.keys.current:
        if key.name != "owner":
            hearth.server.keys.revoke(key.name)


def make(admin: httpx.Client, **values: object) -> dict[str, Any]:
    made = admin.post("/api/keys", json={"name": "agent", **values})
    assert made.status_code == 201, made.text
    return dict(made.json())


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['secret']}"}


def test_made_listed_revoked(admin: httpx.Client) -> None:
    made = make(admin, expires="2035-01-01T00:00:00Z", models=[QWEN])
    assert made | {"secret": "", "hint": "", "created": ""} == {
        "name": "agent",
        "hint": "",
        "scope": "inference",
        "models": [QWEN],
        "created": "",
        "expires": "2035-01-01T00:00:00+00:00",
        "last_used": None,
        "secret": "",
    }
    listed = admin.get("/api/keys")
    assert [key["name"] for key in listed.json()["keys"]] == ["owner", "agent"]
    assert made["secret"] not in listed.text and "secret" not in listed.json()["keys"][1]
    assert admin.post("/api/keys", json={"name": "agent"}).json()["error"]["code"] == "name_taken"
    assert admin.delete("/api/keys/agent").json() == {"revoked": "agent"}
    again = admin.delete("/api/keys/agent")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "key_not_found")


def test_bad_values_are_named(admin: httpx.Client) -> None:
    refused = admin.post("/api/keys", json={"name": "a b", "scope": "root", "expires": -1, "models": "x"})
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "name")
    assert list(error["errors"]) == ["name", "scope", "expires", "models"]


def test_the_last_admin_key_stays_while_nobody_gets_in_without(admin: httpx.Client) -> None:
    refused = admin.delete("/api/keys/owner")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "last_admin_key")
    make(admin, scope="admin")
    assert admin.delete("/api/keys/agent").status_code == 200


def test_the_openai_client(hearth: Hearth, admin: httpx.Client) -> None:
    made = make(admin)
    client = openai.OpenAI(base_url=f"{hearth.base_url}/v1", api_key=made["secret"], max_retries=0)
    answer = client.chat.completions.create(
        model=QWEN, messages=[{"role": "user", "content": "Hi"}], max_tokens=3, stream=True
    )
    assert list(answer)[-1].choices[0].finish_reason == "length"
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key=made["secret"][:-1]).models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    assert made["secret"][:-1] not in caught.value.response.text


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
def test_both_headers_are_read_alike(hearth: Hearth, admin: httpx.Client, header: str) -> None:
    made = make(admin, models=[LLAMA])
    sent = {header: f"Bearer {made['secret']}" if header == "Authorization" else made["secret"]}
    assert httpx.get(f"{hearth.base_url}/v1/models", headers=sent).status_code == 200
    assert httpx.get(f"{hearth.base_url}/api/keys", headers=sent).json()["error"]["code"] == "insufficient_scope"
    wrong = httpx.get(f"{hearth.base_url}/v1/models", headers={header: "Bearer no" if " " in sent[header] else "no"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")


def test_the_bench_brings_a_key(
    hearth: Hearth, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bench(**options: Any) -> int:
        limits: Any = {"model": None, "concurrency": "1", "prompt": "short", "max_tokens": 2, "json": None}
        return run(Running(hearth.base_url), argparse.Namespace(**{**limits, "key": None, **options}))

    secret = make(admin)["secret"]
    monkeypatch.delenv("HEARTH_API_KEY", raising=False)
    assert bench() == 1 and "status 401" in capsys.readouterr().err
    assert bench(key=secret) == 0
    monkeypatch.setenv("HEARTH_API_KEY", secret)
    assert bench() == 0 and secret not in capsys.readouterr().out
    assert bench(key="wrong", model=QWEN) == 1 and "status 401" in capsys.readouterr().err


def test_models_that_a_key_may_use(hearth: Hearth, admin: httpx.Client) -> None:
    sent = bearer(make(admin, models=[LLAMA]))
    with httpx.Client(base_url=hearth.base_url, headers=sent, timeout=60) as http:
        assert [model["id"] for model in http.get("/v1/models").json()["data"]] == [LLAMA]
        assert http.get(f"/v1/models/{LLAMA}").status_code == 200
        assert http.get(f"/v1/models/{QWEN}").json()["error"]["code"] == "model_not_allowed"
        assert http.post("/v1/completions", json={"model": LLAMA, **BODY}).status_code == 200
        refused = http.post("/v1/chat/completions", json={"model": QWEN, "max_tokens": 2, "messages": BODY["messages"]})
        error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (403, "model_not_allowed", "model")


def test_no_route_that_takes_a_model_forgets_the_list(hearth: Hearth, admin: httpx.Client) -> None:
    sent, tried = bearer(make(admin, models=["other"])), 0
    for rule in create_app(hearth.server).url_map.iter_rules():
        if not rule.rule.startswith("/v1/") or "POST" not in (rule.methods or ()) or rule.arguments:
            continue
        tried += 1
        refused = httpx.post(f"{hearth.base_url}{rule.rule}", json={"model": QWEN, **BODY}, headers=sent)
        assert refused.status_code == 403, rule.rule
        assert "may not use" in refused.json()["error"]["message"]
    assert tried >= 3


def test_the_audit_names_the_key(hearth: Hearth, admin: httpx.Client) -> None:
    made = make(admin)
    httpx.get(f"{hearth.base_url}/v1/models", headers=bearer(made))
    httpx.get(f"{hearth.base_url}/v1/models")
    httpx.get(f"{hearth.base_url}/v1/models", headers={"x-api-key": "sk-mine"})
    admin.delete("/api/keys/agent")
    rows = admin.get("/api/audit/logs", params={"limit": 5}).json()["logs"]
    assert [(row["who"], row["endpoint"], row["status"], row["code"]) for row in rows] == [
        ("owner", "keys.revoke", "ok", None),
        ("unknown", "/v1/models", "refused", "invalid_api_key"),
        ("unknown", "/v1/models", "refused", "invalid_api_key"),
        ("agent", "/v1/models", "ok", None),
        ("owner", "keys.create", "ok", None),
    ]
    told = {"name": "agent", "scope": "inference", "models": [], "expires": None}
    assert json.loads(rows[4]["detail"]) == {"target": "agent", "after": told}
    assert made["secret"] not in str(rows) and "sk-mine" not in str(rows)


def test_use_is_shown(hearth: Hearth, admin: httpx.Client) -> None:
    made = make(admin)
    httpx.get(f"{hearth.base_url}/v1/models", headers=bearer(made))
    assert eventually(lambda: admin.get("/api/keys").json()["keys"][1]["last_used"] is not None)


def test_an_address_for_others_needs_an_admin_key(tmp_path: Path, models_dir: Path) -> None:
    running = run_server(tmp_path, (models_dir,))
    home = next(running)
    with httpx.Client(base_url=home.base_url) as http:
        refused = http.put("/api/settings", json={"host": "0.0.0.0"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "host")
        assert "hearth key create NAME --scope admin" in refused.json()["error"]["message"]
        assert "IP address" in http.put("/api/settings", json={"host": "box"}).json()["error"]["message"]
        assert http.post("/api/keys", json={"name": "me", "scope": "admin"}).status_code == 201
        saved = http.put("/api/settings", json={"host": "0.0.0.0"})
        assert saved.json()["effects"] == ["Address becomes 0.0.0.0 when Hearth starts again."]
        assert http.get("/api/pool").status_code == 200, "still bound to this machine: open until the restart"
        proxied = http.get("/api/pool", headers={"X-Forwarded-For": "192.0.2.9"})
        assert proxied.status_code == 401
    running.close()  # type: ignore[attr-defined]
