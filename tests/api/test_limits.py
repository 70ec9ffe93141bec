"""Limits that are lowered while real models answer: nobody is cut off, and what is promised is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI

from tests.conftest import LLAMA, QWEN, Hearth, run_server

HELLO: Any = [{"role": "user", "content": "Tell me about the river."}]
GB = 1e9


@pytest.fixture
def hearth(tmp_path: Path, models_dir: Path) -> Iterator[Hearth]:
    """A server of this test alone: limits are everybody's."""
    yield from run_server(tmp_path, (models_dir,))


@pytest.fixture
def http(hearth: Hearth) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hearth.base_url, timeout=60) as client:
        yield client


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def pool(http: httpx.Client) -> dict[str, Any]:
    return dict(http.get("/api/pool").json())


def states(http: httpx.Client) -> dict[str, str]:
    return {model["id"]: model["state"] for model in pool(http)["models"]}


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def save(http: httpx.Client, **values: object) -> list[str]:
    reply = http.put("/api/settings/pool", json=values)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["effects"])


def ask(client: OpenAI, model: str, max_tokens: int = 8) -> int:
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=max_tokens, temperature=0)
    assert answer.usage is not None
    return answer.usage.completion_tokens


def stream(client: OpenAI, model: str, begun: threading.Barrier, max_tokens: int) -> int:
    """The tokens of a streamed answer; everybody has begun before anybody goes on."""
    chunks = client.chat.completions.create(
        model=model,
        messages=HELLO,
        max_tokens=max_tokens,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    next(chunks)
    begun.wait(30)
    last = list(chunks)[-1]
    assert last.usage is not None
    return last.usage.completion_tokens


def test_a_limit_lowered_during_eight_streams_cuts_nobody_off(
    hearth: Hearth, http: httpx.Client, client: OpenAI
) -> None:
    ask(client, "ember")
    begun = threading.Barrier(9)
    with ThreadPoolExecutor(8) as crowd:
        streams = [crowd.submit(stream, client, (QWEN, LLAMA)[i % 2], begun, 600) for i in range(8)]
        begun.wait(30)
        weights = {model["id"]: model["weights_bytes"] for model in pool(http)["models"]}
        limit_bytes = int(weights[LLAMA] * 1.5)
        effects = save(http, memory_limit=limit_bytes / GB)
        assert any("ember was evicted" in effect for effect in effects)
        assert any("draining" in effect for effect in effects)
        assert any("Over the limit by" in effect for effect in effects)
        assert "ember" not in states(http)
        assert "draining" in states(http).values()
        assert [each.result(120) for each in streams] == [600] * 8
    assert eventually(lambda: pool(http)["used_bytes"] <= limit_bytes)
    for model in (QWEN, LLAMA, QWEN):
        assert ask(client, model) == 8
        assert pool(http)["used_bytes"] <= limit_bytes


def test_two_clients_alternate_two_models_of_which_one_fits(hearth: Hearth, http: httpx.Client, client: OpenAI) -> None:
    ask(client, QWEN)
    weights_bytes = pool(http)["models"][0]["weights_bytes"]
    save(http, memory_limit=weights_bytes * 1.6 / GB)

    def alternate(first: int) -> int:
        return sum(ask(client, (QWEN, LLAMA)[(first + turn) % 2]) for turn in range(10))

    with ThreadPoolExecutor(2) as crowd:
        assert list(crowd.map(alternate, (0, 1))) == [80, 80]
    assert pool(http)["used_bytes"] <= weights_bytes * 1.6


def test_what_never_fits_is_refused_with_the_numbers_and_no_retry(http: httpx.Client, client: OpenAI) -> None:
    save(http, memory_limit=0.0001)
    with pytest.raises(APIStatusError) as refused:
        ask(client, QWEN)
    assert refused.value.status_code == 503
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.body["code"] == "insufficient_memory"  # type: ignore[index]
    assert "the memory limit is 0.1 MB" in str(refused.value)


def test_the_same_limits_hold_after_a_restart(tmp_path: Path, models_dir: Path) -> None:
    wanted = {"memory_limit": 0.5, "eviction_policy": "lfu", "idle_minutes": 3, "max_models": 2, "pinned": [QWEN]}
    first = run_server(tmp_path, (models_dir,))
    with httpx.Client(base_url=next(first).base_url) as http:
        save(http, **wanted)
    first.close()  # type: ignore[attr-defined]
    second = run_server(tmp_path, (models_dir,))
    with httpx.Client(base_url=next(second).base_url) as http:
        shown = http.get("/api/settings/pool").json()["settings"]
        assert {name: shown[name]["value"] for name in wanted} == wanted
        assert (pool(http)["limit_bytes"], pool(http)["policy"]) == (500_000_000, "lfu")
        http.post("/api/models/load", json={"model": QWEN})
        assert pool(http)["models"][0]["pinned"]
    second.close()  # type: ignore[attr-defined]


def test_models_are_loaded_pinned_and_unloaded_by_hand(http: httpx.Client) -> None:
    assert http.post("/api/models/load", json={"model": QWEN}).json() == {"id": QWEN, "state": "loaded"}
    assert states(http) == {QWEN: "loaded"}
    save(http, pinned=[QWEN])
    refused = http.post("/api/models/unload", json={"model": QWEN})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "pinned")
    save(http, pinned=[])
    gone = http.post("/api/models/unload", json={"model": QWEN})
    assert gone.json() == {"id": QWEN, "state": "ready", "effects": [f"{QWEN} was unloaded."]}
    assert states(http) == {}
    refused = http.post("/api/models/unload", json={"model": QWEN})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_loaded")
    listed = {model["id"]: model for model in http.get("/api/models").json()["models"]}
    assert listed[QWEN]["state"] == "ready"
    assert listed["ember"]["bundled"]


@pytest.mark.parametrize("action", ["load", "unload"])
@pytest.mark.parametrize(
    ("body", "status", "param"),
    [({}, 400, "model"), ({"model": 3}, 400, "model"), ({"model": "nobody/nothing"}, 404, "model")],
)
def test_loading_what_is_not_there_names_the_field(
    http: httpx.Client, action: str, body: dict[str, object], status: int, param: str
) -> None:
    reply = http.post(f"/api/models/{action}", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"memory_limit": -1}, "memory_limit"),
        ({"memory_limit": 101, "memory_limit_mode": "percent"}, "memory_limit"),
        ({"eviction_policy": "random"}, "eviction_policy"),
        ({"pinned": "nobody/nothing"}, "pinned"),
        ({"preload": [3]}, "preload"),
        ({"theme": "dark"}, "theme"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_wrong_pool_setting_is_named_and_changes_nothing(
    http: httpx.Client, values: dict[str, object], param: str
) -> None:
    before = http.get("/api/settings").json()
    reply = http.put("/api/settings/pool", json={"max_models": 3, **values})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert http.get("/api/settings").json() == before


def test_timeouts_end_real_requests_with_504_and_in_the_stream(http: httpx.Client, client: OpenAI) -> None:
    assert http.put("/api/settings", json={"total_seconds": 0.3}).status_code == 200
    ask(client, QWEN, 1)
    streamed = http.post(
        "/v1/chat/completions", json={"model": QWEN, "messages": HELLO, "max_tokens": 3500, "stream": True}
    )
    assert '"code":"timeout"' in streamed.text
    plain = http.post("/v1/chat/completions", json={"model": QWEN, "messages": HELLO, "max_tokens": 3500})
    assert (plain.status_code, plain.json()["error"]["code"]) == (504, "timeout")
    assert plain.headers["x-should-retry"] == "false"
    assert "total timeout" in plain.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("chat/completions", {"messages": HELLO, "max_tokens": 3500, "n": 2}, '"code":"timeout"'),
        ("completions", {"prompt": [[5, 6], [7]], "echo": True, "max_tokens": 3500}, '"code":"timeout"'),
        ("messages", {"messages": HELLO, "max_tokens": 3500}, "event: error\n"),
        ("responses", {"input": "Go on.", "max_output_tokens": 3500}, "event: response.failed\n"),
    ],
)
def test_a_stream_that_fails_midway_says_so_in_every_dialect(
    http: httpx.Client, client: OpenAI, path: str, body: dict[str, object], wanted: str
) -> None:
    assert http.put("/api/settings", json={"total_seconds": 0.3}).status_code == 200
    ask(client, QWEN, 1)
    streamed = http.post(f"/v1/{path}", json={"model": QWEN, "stream": True, **body})
    assert streamed.status_code == 200
    assert wanted in streamed.text and "total timeout" in streamed.text
    (row,) = http.get("/api/audit/logs", params={"id": streamed.headers["x-request-id"]}).json()["logs"]
    assert (row["status"], row["code"]) == ("timeout", "timeout")


def test_an_idle_model_is_unloaded_when_its_time_is_over(http: httpx.Client, client: OpenAI) -> None:
    save(http, idle_minutes=0.01)
    ask(client, QWEN)
    assert states(http) == {QWEN: "loaded"}
    assert eventually(lambda: states(http) == {}, 5.6)


def test_preloaded_models_are_there_without_a_request(tmp_path: Path, models_dir: Path) -> None:
    server = run_server(tmp_path, (models_dir,), preload=[LLAMA])
    with httpx.Client(base_url=next(server).base_url) as http:
        assert eventually(lambda: states(http) == {LLAMA: "loaded"})
    server.close()  # type: ignore[attr-defined]
