"""/metrics over HTTP: what it counts is what happened."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Hearth, run_server
from webapp.app import create_app
from webapp.audit.metrics import OTHER, ROUTES, Metrics
from webapp.store.audit import AuditRow

Samples = dict[tuple[str, ...], float]
HELLO = [{"role": "user", "content": "Tell me about the river, please."}]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    """A server whose numbers nobody else moves."""
    yield from run_server(tmp_path_factory.mktemp("metrics"), (models_dir,))


def parsed(text: str) -> Samples:
    """Each sample by its name and the values of its labels."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def scraped(own: Hearth) -> Samples:
    response = httpx.get(f"{own.base_url}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(response.text)


def grown(own: Hearth, before: Samples, *sample: str) -> float:
    """By how much a sample grew; a row is written a moment after its answer has arrived."""
    deadline = time.monotonic() + 2
    while (by := scraped(own).get(sample, 0) - before.get(sample, 0)) == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    return by


def ask(own: Hearth, path: str = "chat/completions", **fields: object) -> httpx.Response:
    body = {"model": own.models[0], "messages": HELLO, "max_tokens": 5, **fields}
    return httpx.post(f"{own.base_url}/v1/{path}", json=body, timeout=60)


def test_an_answer_is_counted(own: Hearth) -> None:
    model, before = own.models[0], scraped(own)
    usage = ask(own).json()["usage"]
    again = ask(own).json()["usage"]
    assert grown(own, before, "hearth_requests_total", "/v1/chat/completions", "ok") == 2
    assert grown(own, before, "hearth_prompt_tokens_total", model) == usage["prompt_tokens"] + again["prompt_tokens"]
    assert grown(own, before, "hearth_completion_tokens_total", model) == 10
    cached = again["prompt_tokens_details"]["cached_tokens"]
    assert grown(own, before, "hearth_cached_tokens_total", model) == cached > 0
    assert grown(own, before, "hearth_prefix_cache_hits_total", model) == 1
    for name in ("queue", "time_to_first_token", "inter_token", "request"):
        assert grown(own, before, f"hearth_{name}_seconds_count", model) == 2
    assert grown(own, before, "hearth_request_seconds_sum", model) > 0


def test_refusals_are_counted_by_route(own: Hearth) -> None:
    before = scraped(own)
    ask(own, temperature=9)
    ask(own, path="messages", model="nobody/has-this")
    ask(own, path="no/such/route")
    for route in ("/v1/chat/completions", "/v1/messages", OTHER):
        assert grown(own, before, "hearth_requests_total", route, "refused") == 1


def test_gauges_show_the_engine(own: Hearth) -> None:
    body = {"model": own.models[0], "messages": HELLO, "max_tokens": 3000, "stream": True}
    with httpx.stream("POST", f"{own.base_url}/v1/chat/completions", json=body) as stream:
        lines = stream.iter_lines()
        assert any("content" in line for line in lines)
        time.sleep(0.2)  # a snapshot is at most 0.1 s old
        samples = scraped(own)
    assert (samples[("hearth_requests_running",)], samples[("hearth_requests_waiting",)]) == (1, 0)
    assert samples[("hearth_pool_limit_bytes",)] > samples[("hearth_pool_used_bytes",)] > 0
    assert samples[("hearth_models", "loaded")] == 1
    assert samples[("hearth_info", own.server.version)] == 1


def test_a_strange_host_is_refused(own: Hearth) -> None:
    assert httpx.get(f"{own.base_url}/metrics", headers={"Host": "evil.example"}).status_code == 403


def test_two_servers_count_apart(own: Hearth) -> None:
    one, other = (Metrics("1", lambda: own.server.engine.snapshot) for _ in range(2))
    one.observe(AuditRow("r", 0, "request", "local", "/v1/models/a/b"))
    one.observe(AuditRow("a", 0, "admin", "local", "models.load"))
    counted = [sample for sample in parsed(one.text().decode()).items() if sample[0][0] == "hearth_requests_total"]
    assert counted == [(("hearth_requests_total", "/v1/models/{id}", "ok"), 1)]
    assert b"hearth_requests_total{" not in other.text()


def test_every_route_that_is_recorded_has_its_name(own: Hearth) -> None:
    rules = [rule.rule for rule in create_app(own.server).url_map.iter_rules() if rule.rule.startswith("/v1/")]
    named = {re.sub("<[a-z_:]+>", "{id}", rule) for rule in rules}
    assert named - {"/v1/health"} <= set(ROUTES)
