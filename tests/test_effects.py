"""Every setting acts: one test for each, named after it, on a running server. The last test counts them."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import LLAMA, QWEN, Hearth, run_server
from tiny_models import make_model
from webapp.generation import GenerationRequest, Prefill
from webapp.people.access import Visitor
from webapp.program.serving import listen
from webapp.settings.table import Settings, table
from webapp.store.audit import AuditRow

PLAIN = "tests/plain-nano"
LONG = tuple(range(5, 405))


@pytest.fixture(scope="module")
def hearth(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    """A server of these tests alone, with a model that recommends no sampling."""
    more = tmp_path_factory.mktemp("more")
    make_model(more / PLAIN, "qwen3", "nano", seed=3)
    (more / PLAIN / "generation_config.json").unlink()
    yield from run_server(tmp_path_factory.mktemp("effects"), (models_dir, more))


@pytest.fixture(autouse=True)
def fresh(hearth: Hearth) -> Iterator[None]:
    """No model loaded and no setting saved before and after each test."""
    yield
    hearth.server.settings.save(dict.fromkeys(table()))
    for model in hearth.server.engine.snapshot.models:
        hearth.server.administration.models.unload("test", model.id)


def save(hearth: Hearth, **values: object) -> None:
    hearth.server.administration.settings.save("test", values)


def ask(hearth: Hearth, model: str = QWEN, **body: object) -> httpx.Response:
    body = {"model": model, "prompt": "The river", "max_tokens": 8, **body}
    return httpx.post(f"{hearth.base_url}/v1/completions", json=body, timeout=60)


def text(reply: httpx.Response) -> str:
    return str(reply.json()["choices"][0]["text"])


def loaded(hearth: Hearth) -> set[str]:
    return {model.id for model in hearth.server.engine.snapshot.models if model.state == "loaded"}


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def prefills(hearth: Hearth, number: int) -> int:
    """How many chunks a long prompt of its own takes to be computed."""
    tokens = (number, *LONG)
    request = GenerationRequest(id=f"long-{number}", model=QWEN, prompt=tokens, max_tokens=1)
    return sum(isinstance(event, Prefill) for event in hearth.server.router.generate(request))


def run_elsewhere(hearth: Hearth, model: str = QWEN, max_tokens: int = 3500) -> threading.Thread:
    """A long answer in the background, begun."""
    thread = threading.Thread(target=ask, args=(hearth, model), kwargs={"max_tokens": max_tokens})
    thread.start()
    eventually(lambda: any(each.state == "decode" for each in hearth.server.engine.snapshot.requests))
    return thread


def end_all(hearth: Hearth, *threads: threading.Thread) -> None:
    while requests := hearth.server.engine.snapshot.requests:
        for each in requests:
            hearth.server.router.cancel(each.id, "page", Visitor())
        time.sleep(0.02)
    for thread in threads:
        thread.join(10)


def nothing(environ: Any, start_response: Any) -> list[bytes]:
    start_response("204 No Content", [])
    return []


# Server


def test_host() -> None:
    """At this address and at no other, not even at the one that is the default."""
    host = "127.0.0.2" if sys.platform == "linux" else "::1"
    web = listen(nothing, Settings(host=host, port=0), strict_port=True)
    socket.create_connection((host, web.address[1]), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((Settings().host, web.address[1]), timeout=5)
    web.stop(0)


def test_allowed_hosts(hearth: Hearth) -> None:
    asked = {"Host": "box.example:1"}
    assert httpx.get(f"{hearth.base_url}/v1/models", headers=asked).status_code == 403
    save(hearth, allowed_hosts=["box.example"])
    assert httpx.get(f"{hearth.base_url}/v1/models", headers=asked).status_code == 401
    assert httpx.get(f"{hearth.base_url}/health", headers=asked).status_code == 200


def test_cors_origins(hearth: Hearth) -> None:
    asked = {"Origin": "https://app.example"}
    assert "access-control-allow-origin" not in httpx.get(f"{hearth.base_url}/v1/models", headers=asked).headers
    save(hearth, cors_origins=["https://app.example"])
    answer = httpx.get(f"{hearth.base_url}/v1/models", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_port() -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    web = listen(nothing, Settings(port=port), strict_port=True)
    assert web.address[1] == port
    web.stop(0)


def test_log_level(hearth: Hearth) -> None:
    save(hearth, log_level="error")
    assert logging.getLogger().level == logging.ERROR


def test_max_waiting(hearth: Hearth) -> None:
    save(hearth, max_waiting=0, batch_size=1)
    running = run_elsewhere(hearth)
    assert ask(hearth).status_code == 429
    save(hearth, max_waiting=1)
    waiting = threading.Thread(target=ask, args=(hearth,))
    waiting.start()
    eventually(lambda: hearth.server.engine.snapshot.waiting == 1)
    end_all(hearth, running, waiting)


def test_threads() -> None:
    """Of 128 threads 64 are for pages: with 64 streams open, the next request that generates is turned away."""
    held = threading.Event()

    def streaming(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"."
        held.wait(30)

    web = listen(streaming, Settings(port=0, threads=128), strict_port=True)
    loop = threading.Thread(target=web.run, daemon=True)
    loop.start()
    address = f"http://127.0.0.1:{web.address[1]}/v1/completions"
    with httpx.Client(limits=httpx.Limits(max_connections=100), timeout=30) as client, ThreadPoolExecutor(64) as crowd:
        streams = list(crowd.map(lambda _: client.send(client.build_request("POST", address), stream=True), range(64)))
        assert {stream.status_code for stream in streams} == {200}
        assert client.post(address).status_code == 429
        held.set()
        for stream in streams:
            stream.close()
    web.stop(2)
    loop.join(10)


def test_sign_in(hearth: Hearth) -> None:
    save(hearth, sign_in="on")
    with httpx.Client(base_url=hearth.base_url) as stranger:
        assert stranger.get("/api/settings").status_code == stranger.get("/chat").status_code == 401
        assert stranger.get("/sign-in", params={"ticket": hearth.server.tickets.issue()}).status_code == 200
        assert stranger.get("/api/settings").status_code == stranger.get("/chat").status_code == 200
    assert httpx.get(f"{hearth.base_url}/v1/models").status_code == 200


# Pool


def test_memory_limit(hearth: Hearth) -> None:
    save(hearth, memory_limit=0.0001)
    refused = ask(hearth)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "insufficient_memory")
    save(hearth, memory_limit=1)
    assert ask(hearth).status_code == 200


def test_memory_limit_mode(hearth: Hearth) -> None:
    save(hearth, memory_limit=50)
    assert hearth.server.engine.snapshot.limit_bytes == 50_000_000_000
    save(hearth, memory_limit_mode="percent")
    assert hearth.server.engine.snapshot.limit_bytes == hearth.server.backend.memory_bytes() // 2


@pytest.mark.parametrize(("policy", "goes"), [("lru", QWEN), ("lfu", LLAMA)])
def test_eviction_policy(hearth: Hearth, policy: str, goes: str) -> None:
    save(hearth, eviction_policy=policy, max_models=2)
    for model in (QWEN, QWEN, LLAMA, PLAIN):
        ask(hearth, model)
    assert loaded(hearth) == {QWEN, LLAMA, PLAIN} - {goes}


def test_idle_minutes(hearth: Hearth) -> None:
    save(hearth, idle_minutes=0.02)
    ask(hearth)
    assert loaded(hearth) == {QWEN}
    eventually(lambda: not loaded(hearth), 1.2 + 5)


def test_max_models(hearth: Hearth) -> None:
    save(hearth, max_models=1)
    for model in (QWEN, LLAMA):
        ask(hearth, model)
    assert loaded(hearth) == {LLAMA}


def test_pinned(hearth: Hearth) -> None:
    save(hearth, pinned=[QWEN], max_models=2)
    for model in (QWEN, LLAMA, PLAIN):
        ask(hearth, model)
    assert loaded(hearth) == {QWEN, PLAIN}
    save(hearth, pinned=None)


def test_preload(tmp_path: Path, models_dir: Path) -> None:
    with closing(run_server(tmp_path, (models_dir,), preload=[LLAMA])) as server:  # type: ignore[type-var]
        running = next(server)
        eventually(lambda: loaded(running) == {LLAMA})


# Scheduling


def test_batch_size(hearth: Hearth) -> None:
    save(hearth, batch_size=1)
    crowd = [run_elsewhere(hearth), threading.Thread(target=ask, args=(hearth,))]
    crowd[1].start()
    eventually(lambda: hearth.server.engine.snapshot.waiting == 1)
    assert hearth.server.engine.snapshot.running == 1
    save(hearth, batch_size=2)
    eventually(lambda: hearth.server.engine.snapshot.waiting == 0)
    end_all(hearth, *crowd)


def test_prefill_tokens(hearth: Hearth) -> None:
    ask(hearth)
    save(hearth, prefill_tokens=16)
    assert prefills(hearth, 1) >= 400 / 16
    save(hearth, prefill_tokens=2048)
    assert prefills(hearth, 2) < 400 / 16


def test_stall_ms(hearth: Hearth) -> None:
    running = run_elsewhere(hearth)
    save(hearth, stall_ms=5)
    careful = prefills(hearth, 3)
    save(hearth, stall_ms=2000)
    assert prefills(hearth, 4) < careful
    end_all(hearth, running)


def test_prefix_cache_mb(hearth: Hearth) -> None:
    def cached() -> int:
        ask(hearth, prompt=list(LONG))
        return int(ask(hearth, prompt=list(LONG)).json()["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert cached() > 300
    save(hearth, prefix_cache_mb=0)
    assert cached() == 0


# Timeouts


def test_queue_seconds(hearth: Hearth) -> None:
    running = run_elsewhere(hearth)
    save(hearth, queue_seconds=0.1, batch_size=1)
    refused = ask(hearth)
    assert refused.status_code == 504
    assert "queue timeout" in refused.json()["error"]["message"]
    end_all(hearth, running)


def test_first_token_seconds(hearth: Hearth) -> None:
    running = run_elsewhere(hearth)
    save(hearth, first_token_seconds=0.1, batch_size=1)
    assert "first token timeout" in ask(hearth).json()["error"]["message"]
    end_all(hearth, running)


def test_total_seconds(hearth: Hearth) -> None:
    save(hearth, total_seconds=0.3)
    assert "total timeout" in ask(hearth, max_tokens=3500).json()["error"]["message"]


# Generation


def chat(hearth: Hearth, model: str, **body: object) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": "Tell me a story"}], **body}
    return httpx.post(f"{hearth.base_url}/v1/chat/completions", json=body, timeout=60).json()


def test_max_tokens(hearth: Hearth) -> None:
    save(hearth, max_tokens=5)
    assert chat(hearth, QWEN)["usage"]["completion_tokens"] == 5
    assert chat(hearth, QWEN, max_tokens=9)["usage"]["completion_tokens"] == 9


def test_temperature(hearth: Hearth) -> None:
    greedy = text(ask(hearth, PLAIN, temperature=0))
    save(hearth, temperature=0)
    assert text(ask(hearth, PLAIN)) == greedy
    save(hearth, temperature=2)
    assert text(ask(hearth, PLAIN, seed=1)) != greedy


def test_top_p(hearth: Hearth) -> None:
    greedy = text(ask(hearth, PLAIN, temperature=0))
    save(hearth, temperature=2, top_p=0)
    assert text(ask(hearth, PLAIN, seed=1)) == greedy


# Privacy


def kept(hearth: Hearth) -> str:
    """What the audit keeps of the request just made."""
    (row,) = httpx.get(f"{hearth.base_url}/api/audit/logs", params={"limit": 1}).json()["logs"]
    return row["detail"] or ""


def test_audit_content(hearth: Hearth) -> None:
    ask(hearth)
    assert kept(hearth) == ""
    save(hearth, audit_content="full")
    ask(hearth)
    assert "The river" in kept(hearth)
    save(hearth, audit_content="hashes")
    ask(hearth)
    assert kept(hearth) and "The river" not in kept(hearth)


def rows(hearth: Hearth) -> int:
    return len(httpx.get(f"{hearth.base_url}/api/audit/logs", params={"limit": 1000}).json()["logs"])


def test_audit_days(hearth: Hearth) -> None:
    """Rows that are older go; one that is a day younger stays."""
    for name, days in (("old", 10), ("young", 8)):
        then = time.time() - days * 86_400
        row = AuditRow(id=name, time=then, kind="request", who="test", endpoint="/v1", status="ok")
        hearth.server.audit.record(row)
    hearth.server.audit.flush()
    records = hearth.server.audit.records
    assert records.find("old") and records.find("young")
    save(hearth, audit_days=9)
    eventually(lambda: records.find("old") is None)
    assert records.find("young")


def test_audit_mb(hearth: Hearth) -> None:
    row = AuditRow(id="large", time=time.time(), kind="request", who="test", endpoint="/v1", status="ok")
    for _ in range(500):
        hearth.server.audit.record(row, notes={"text": "x" * 5000})
    assert rows(hearth) >= 500
    save(hearth, audit_mb=1)
    eventually(lambda: rows(hearth) < 300)


# Appearance


def test_theme(hearth: Hearth) -> None:
    save(hearth, theme="dark")
    assert 'data-theme="dark"' in httpx.get(f"{hearth.base_url}/chat").text


def test_every_setting_has_its_test() -> None:
    assert [name for name in table() if f"test_{name}" not in globals()] == []
