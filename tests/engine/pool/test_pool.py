"""Who stays loaded and who goes: policies, idle times, pins, and what people ask for by hand."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.engine.conftest import Bench, failure, installed, tokens
from webapp.engine.limits import Limits, Policy
from webapp.errors import Conflict, EngineStopped, ModelLoadFailed, OutOfMemory


def use(bench: Bench, model: str, times: int = 1, weights_bytes: int = 300) -> None:
    for _ in range(times):
        bench.submit(20, model=model, weights_bytes=weights_bytes)
        bench.run(12)


@pytest.mark.parametrize(
    ("policy", "pinned", "goes"),
    [
        ("lru", (), "first"),
        ("lfu", (), "second"),
        ("ttl", (), "third"),
        ("lru", ("first",), "second"),
        ("lfu", ("second",), "third"),
        ("ttl", ("third",), "first"),
    ],
)
def test_each_policy_evicts_the_model_it_promises(
    bench: Bench, policy: Policy, pinned: tuple[str, ...], goes: str
) -> None:
    """first was used three times and longest ago, second once, third twice and last; third has a short idle time."""
    bench.configure(policy=policy, idle_seconds=1000, idle_seconds_of={"third": 60}, pinned=frozenset(pinned))
    use(bench, "first", 3)
    use(bench, "second", 1)
    use(bench, "third", 2)
    use(bench, "fourth")
    assert set(bench.states()) == {"first", "second", "third", "fourth"} - {goes}


def test_a_policy_that_changes_judges_the_next_eviction(bench: Bench) -> None:
    use(bench, "often", 3)
    use(bench, "once")
    use(bench, "last", 2)
    bench.configure(policy="lfu")
    use(bench, "fourth")
    assert "once" not in bench.states()


@pytest.mark.parametrize(
    ("idle", "of", "stays"), [(10, {}, ()), (10, {"one": 100}, ("one",)), (100, {"one": 10}, ("two",))]
)
def test_idle_models_go_when_their_time_is_over(
    bench: Bench, idle: float, of: dict[str, float], stays: tuple[str, ...]
) -> None:
    use(bench, "one")
    use(bench, "two")
    bench.configure(idle_seconds=idle, idle_seconds_of=of)
    bench.clock.now += 11
    assert tuple(bench.states()) == stays


def test_a_busy_or_pinned_model_does_not_idle(bench: Bench) -> None:
    use(bench, "pinned")
    bench.configure(idle_seconds=10, pinned=frozenset({"pinned"}))
    bench.submit(20, model="busy", max_tokens=1000)
    bench.run(8)
    bench.clock.now += 60
    assert bench.states() == {"pinned": "loaded", "busy": "loaded"}


def test_an_idle_time_set_later_counts_from_the_last_use(bench: Bench) -> None:
    use(bench, "one")
    bench.clock.now += 60
    assert bench.configure(idle_seconds=30) == ["one was unloaded after idling."]


def test_no_more_models_than_allowed_are_loaded(bench: Bench) -> None:
    bench.configure(max_models=2)
    for model in ("one", "two", "three"):
        use(bench, model, weights_bytes=10)
    assert set(bench.states()) == {"two", "three"}


def test_fewer_models_allowed_evicts_the_idle_and_drains_the_busy(bench: Bench) -> None:
    use(bench, "idle", weights_bytes=10)
    busy = [bench.submit(20, model=model, max_tokens=30, weights_bytes=10) for model in ("a", "b")]
    bench.run(8)
    effects = bench.configure(max_models=1)
    assert effects == ["idle was evicted.", "a is draining: 1 request will finish or wait."]
    bench.run(60)
    assert [len(tokens(sequence)) for sequence in busy] == [30, 30]
    assert set(bench.states()) == {"b"}


def test_who_finds_all_places_pinned_is_refused_at_once(bench: Bench) -> None:
    use(bench, "pinned", weights_bytes=10)
    bench.configure(max_models=1, pinned=frozenset({"pinned"}))
    asked, wish = bench.submit(20, model="other", weights_bytes=10), load(bench, "third", 10)
    bench.run(2)
    for error in (failure(asked), wish.exception(0)):
        assert isinstance(error, OutOfMemory)
        assert "as many are pinned" in str(error)
    assert bench.states()["pinned"] == "loaded"


# By hand


def load(bench: Bench, model: str, weights_bytes: int = 100) -> Future[None]:
    return bench.engine.load(installed(model, weights_bytes))


def unload(bench: Bench, model: str) -> str:
    effect = bench.engine.unload(model)
    bench.engine.step()
    return effect.result(0)


def test_a_model_is_loaded_by_hand_and_its_wish_is_told(bench: Bench) -> None:
    done = load(bench, "one")
    assert bench.states() == {"one": "loading"}
    assert not done.done()
    bench.run(4)
    assert done.result(0) is None
    again = load(bench, "one")
    bench.run(1)
    assert again.result(0) is None


def test_a_load_by_hand_that_fails_says_why(bench: Bench) -> None:
    bench.loader.errors["one"] = ValueError("bad shapes")
    done = load(bench, "one")
    bench.run(4)
    with pytest.raises(ModelLoadFailed, match="bad shapes"):
        done.result(0)
    assert bench.states() == {"one": "failed"}
    assert bench.loader.runners["one"].closed


def test_a_load_by_hand_evicts_the_idle_and_waits_for_the_busy(bench: Bench) -> None:
    use(bench, "idle", weights_bytes=500)
    assert load(bench, "other", 600) and bench.states() == {"other": "loading"}
    bench.run(4)
    busy = bench.submit(20, model="other", max_tokens=30, weights_bytes=600)
    bench.run(4)
    waiting = load(bench, "third", 600)
    bench.run(4)
    assert not waiting.done()
    bench.run(40)
    assert waiting.result(0) is None
    assert len(tokens(busy)) == 30


def test_unloading_an_idle_model_acts_at_once(bench: Bench) -> None:
    use(bench, "one")
    assert unload(bench, "one") == "one was unloaded."
    assert bench.states() == {}
    assert bench.loader.runners["one"].closed


def test_unloading_a_busy_model_drains_it_and_later_requests_load_it_again(bench: Bench) -> None:
    first = [bench.submit(20, max_tokens=20) for _ in range(5)]
    bench.run(8)
    assert unload(bench, "one") == "one is draining: 5 requests will finish first."
    old = bench.loader.runners["one"]
    later = bench.submit(30, max_tokens=2)
    bench.run(2)
    assert bench.states() == {"one": "draining"}
    bench.run(100)
    assert [len(tokens(sequence)) for sequence in first] == [20] * 5
    assert tokens(later) == [31, 32]
    assert old.closed and bench.loader.runners["one"] is not old


def test_unloading_what_loads_by_hand_gives_it_up(bench: Bench) -> None:
    done = load(bench, "one")
    bench.run(1)
    unload(bench, "one")
    assert bench.states() == {}
    assert bench.loader.runners["one"].closed
    with pytest.raises(Conflict):
        done.result(0)


def test_unloading_what_is_not_loaded_or_pinned_is_refused(bench: Bench) -> None:
    with pytest.raises(Conflict, match="not loaded"):
        unload(bench, "one")
    use(bench, "one")
    bench.configure(pinned=frozenset({"one"}))
    with pytest.raises(Conflict, match="pinned"):
        unload(bench, "one")
    assert bench.states() == {"one": "loaded"}


def test_stopping_tells_who_waits_for_a_load() -> None:
    bench = Bench(Limits())
    bench.engine.start()
    bench.submit(20, model="busy", max_tokens=10**9, weights_bytes=900)
    done = load(bench, "other", 900)
    bench.engine.stop()
    with pytest.raises(EngineStopped):
        done.result(5)


def test_unloading_while_others_wait_for_the_load_lets_them_finish(bench: Bench) -> None:
    sequence = bench.submit(20)
    bench.run(1)
    assert "draining" in unload(bench, "one")
    bench.run()
    assert tokens(sequence) == [21, 22, 23]
    assert failure(sequence) is None
    assert bench.states() == {}
