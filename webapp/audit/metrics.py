"""Metrics for monitoring: counters and histograms of finished requests, gauges of the engine as it is now.

The rows of the audit feed them, so that both agree. They have a registry of their own. Knows no HTTP.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from webapp.engine.snapshot import ModelState, Snapshot
from webapp.store.audit import AuditRow

# Strangers must not be able to make new labels: a path that is not one of these routes counts as "other".
ROUTES = (
    "/chat",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/detokenize",
    "/v1/docs",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/{id}",
    "/v1/openapi.json",
    "/v1/requests/{id}/cancel",
    "/v1/responses",
    "/v1/responses/{id}",
    "/v1/responses/{id}/input_items",
    "/v1/tokenize",
)
OTHER = "other"

# Seconds. From a cached prompt on a fast device to a long one on a slow machine.
REQUEST_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FIRST_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1)


class Metrics:
    """Counts requests, thread-safe. `observe()` counts a row of the audit, `text()` is the body of `/metrics`."""

    def __init__(self, version: str, snapshot: Callable[[], Snapshot]):
        registry = self._registry = CollectorRegistry()
        self._route_of = _matcher(ROUTES)
        self._requests = Counter(
            "hearth_requests", "Requests, by how they ended.", ("route", "status"), registry=registry
        )
        self._tokens = {
            name: Counter(f"hearth_{name}", help, ("model",), registry=registry)
            for name, help in (
                ("prompt_tokens", "Tokens of prompts, cached ones included."),
                ("cached_tokens", "Tokens of prompts that were in the prefix cache."),
                ("completion_tokens", "Tokens of answers, thinking included."),
                ("reasoning_tokens", "Tokens of answers that were thinking."),
            )
        }
        self._hits = Counter(
            "hearth_prefix_cache_hits", "Prompts that began in the prefix cache.", ("model",), registry=registry
        )
        self._seconds = {
            name: Histogram(f"hearth_{name}_seconds", help, ("model",), buckets=buckets, registry=registry)
            for name, help, buckets in (
                ("queue", "From arrival to admission to the batch.", REQUEST_BUCKETS),
                ("time_to_first_token", "From arrival to the first token.", FIRST_TOKEN_BUCKETS),
                ("inter_token", "Gap between tokens, the mean of each answer.", TOKEN_BUCKETS),
                ("request", "From arrival to the end of the answer.", REQUEST_BUCKETS),
            )
        }
        registry.register(EngineGauges(version, snapshot))

    def observe(self, row: AuditRow) -> None:
        """Count a request; rows that are acts of administration do not count."""
        if row.kind != "request":
            return
        self._requests.labels(self._route_of(row.endpoint), row.status).inc()
        if (model := row.answered_by) is None:
            return
        for name, counter in self._tokens.items():
            counter.labels(model).inc(getattr(row, name) or 0)
        self._hits.labels(model).inc(bool(row.cached_tokens))
        for name, seconds in _seconds_of(row):
            self._seconds[name].labels(model).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class EngineGauges:
    """A collector of gauges: each scrape reads the snapshot that the engine published last."""

    def __init__(self, version: str, snapshot: Callable[[], Snapshot]):
        self._version = version
        self._snapshot = snapshot

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        now = self._snapshot()
        yield InfoMetricFamily("hearth", "The program.", {"version": self._version})
        for name, help, value in (
            ("requests_running", "Requests in the batches.", now.running),
            ("requests_waiting", "Requests in the queue.", now.waiting),
            ("pool_limit_bytes", "Memory that models may take.", now.limit_bytes),
            ("pool_used_bytes", "Memory of weights, KV and prefix caches.", now.used_bytes),
            ("prefix_cache_bytes", "Memory of the prefix caches.", now.prefix_cache_bytes),
            ("tokens_per_second", "Tokens decoded per second, over the last two.", now.tokens_per_second),
        ):
            yield GaugeMetricFamily(f"hearth_{name}", help, value)
        models = GaugeMetricFamily("hearth_models", "Models that the pool knows, by state.", labels=("state",))
        counts = Tally(model.state for model in now.models)
        for state in get_args(ModelState):
            models.add_metric((state,), counts[state])
        yield models


def _seconds_of(row: AuditRow) -> Iterator[tuple[str, float]]:
    """The measured times of a request in seconds, each with the name of its histogram."""
    for name, milliseconds in (
        ("queue", row.queue_ms),
        ("time_to_first_token", row.ttft_ms),
        ("request", row.duration_ms),
    ):
        if milliseconds is not None:
            yield name, milliseconds / 1000
    if speed := row.tokens_per_second:
        yield "inter_token", 1 / speed


def _matcher(routes: tuple[str, ...]) -> Callable[[str], str]:
    """Returns a function from a path to its route, or to "other". Ids may contain slashes."""
    patterns = [(re.compile(re.escape(route).replace(r"\{id\}", ".+")), route) for route in routes]
    return lambda path: next((route for pattern, route in patterns if pattern.fullmatch(path)), OTHER)
