"""Every setting acts on the running server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import QWEN, Hearth
from webapp.engine.limits import Limits, PoolLimits
from webapp.server import LimitsInForce, Server, limits
from webapp.settings.table import Settings


@pytest.fixture
def settings(hearth: Hearth) -> Iterator[Hearth]:
    """The shared server; what a test saves is taken back."""
    yield hearth
    hearth.server.settings.save(dict.fromkeys(("max_tokens", "temperature", "top_p", "log_level", "batch_size")))


def ask(hearth: Hearth, **body: object) -> dict[str, object]:
    body = {"model": QWEN, "messages": [{"role": "user", "content": "Tell me a story"}], **body}
    return dict(httpx.post(f"{hearth.base_url}/v1/chat/completions", json=body, timeout=60).json())


def text(answer: dict) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_scheduling_settings_reach_the_engine_in_its_units(hearth: Hearth) -> None:
    chosen = Settings(batch_size=3, max_waiting=5, prefill_tokens=64, stall_ms=40, prefix_cache_mb=7)
    engine = limits(chosen, hearth.server.profiles)
    assert (engine.batch_size, engine.max_waiting, engine.prefill_tokens) == (3, 5, 64)
    assert (engine.stall_seconds, engine.pool.prefix_cache_bytes) == (0.04, 7_000_000)


def test_a_setting_that_changes_nothing_visible_has_no_effect_to_tell(settings: Hearth) -> None:
    assert settings.server.settings.save({"batch_size": 7}) == []


def test_max_tokens_ends_answers_that_set_no_limit(settings: Hearth) -> None:
    settings.server.settings.save({"max_tokens": 5})
    assert ask(settings)["usage"]["completion_tokens"] == 5
    assert ask(settings, max_tokens=9)["usage"]["completion_tokens"] == 9


def test_the_models_own_recommendation_wins_over_the_servers_default(settings: Hearth) -> None:
    """The tiny models recommend greedy decoding."""
    greedy = text(ask(settings, max_tokens=12))
    settings.server.settings.save({"temperature": 2.0})
    assert text(ask(settings, max_tokens=12)) == greedy
    assert text(ask(settings, max_tokens=12, temperature=2.0, seed=1)) != greedy


def test_the_log_level_changes_at_once(settings: Hearth) -> None:
    settings.server.settings.save({"log_level": "error"})
    assert logging.getLogger().level == logging.ERROR
    settings.server.settings.save({"log_level": None})
    assert logging.getLogger().level == logging.INFO


def test_the_newest_limits_win_over_those_that_were_begun_before(exposed: Server) -> None:
    """One thread makes its limits and is held up before it can post them; meanwhile another has newer ones."""
    made, newer_are_posted = threading.Event(), threading.Event()

    def newest() -> Limits:
        if threading.current_thread().name != "slow":
            return Limits(pool=PoolLimits(policy="ttl"))
        made.set()
        newer_are_posted.wait(0.5)
        return Limits(pool=PoolLimits(policy="lfu"))

    def renew_quickly() -> None:
        in_force.renew()
        newer_are_posted.set()

    in_force = LimitsInForce(exposed.engine, newest)
    slow = threading.Thread(target=in_force.renew, name="slow")
    quick = threading.Thread(target=renew_quickly)
    slow.start()
    assert made.wait(10)
    quick.start()
    slow.join(10)
    quick.join(10)
    exposed.engine.step()
    assert exposed.engine.snapshot.policy == "ttl"
