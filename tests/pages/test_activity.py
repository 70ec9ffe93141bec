"""The activity room, its parts and its buttons, over a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.conftest import LLAMA, QWEN, Hearth, run_server
from tests.pages.conftest import until
from webapp.engine.snapshot import ModelSnapshot, Snapshot
from webapp.pages.activity import memory_shares
from webapp.pages.drawing.chart import HEIGHT, WIDTH, Chart, shares
from webapp.pages.drawing.words import age

PARTIAL = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def hearth(tmp_path_factory: pytest.TempPathFactory, models_dir) -> Iterator[Hearth]:  # type: ignore[no-untyped-def]
    yield from run_server(tmp_path_factory.mktemp("activity"), (models_dir,))


@pytest.fixture
def http(hearth: Hearth) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hearth.base_url, timeout=30) as client:
        yield client


def states(hearth: Hearth) -> dict[str, str]:
    return {model.id: model.state for model in hearth.server.engine.snapshot.models}


def test_an_empty_room_helps(http: httpx.Client) -> None:
    page = http.get("/activity").text
    assert "Nobody asks anything at the moment." in page
    assert "No model is loaded." in page
    assert '<a class="room" href="/activity" aria-current="page">' in page


def test_models_are_loaded_pinned_unpinned_and_unloaded(http: httpx.Client, hearth: Hearth) -> None:
    said = http.post("/activity/load", data={"model": QWEN}, headers=PARTIAL)
    assert QWEN in said.text and 'hx-target="#loaded"' in said.text
    until(lambda: states(hearth) == {QWEN: "loaded"})
    assert (
        f"{QWEN} is pinned." in http.post("/activity/pin", data={"model": QWEN, "pinned": "yes"}, headers=PARTIAL).text
    )
    assert hearth.server.engine.snapshot.models[0].pinned
    refused = http.post("/activity/unload", data={"model": QWEN}, headers=PARTIAL)
    assert refused.status_code == 409
    assert "Unpin it first." in refused.text
    http.post("/activity/pin", data={"model": QWEN}, headers=PARTIAL)
    assert hearth.server.settings.current.pinned == ()
    plain = http.post("/activity/unload", data={"model": QWEN})
    assert (plain.status_code, plain.headers["location"]) == (303, "/activity")
    assert states(hearth) == {}


@pytest.mark.parametrize("action", ["load", "unload", "pin"])
def test_a_model_that_is_not_installed_is_a_notice(http: httpx.Client, action: str) -> None:
    said = http.post(f"/activity/{action}", data={"model": "nobody/nothing", "pinned": "yes"}, headers=PARTIAL)
    assert said.status_code == 404
    assert "nobody/nothing" in said.text


def test_a_request_is_shown_and_cancelled(http: httpx.Client, hearth: Hearth) -> None:
    body = {"model": LLAMA, "prompt": "The river", "max_tokens": 3500, "stream": True}
    with http.stream("POST", "/v1/completions", json=body) as stream:
        lines = stream.iter_lines()
        next(lines)
        until(lambda: hearth.server.engine.snapshot.running == 1)
        (running,) = hearth.server.engine.snapshot.requests
        page = httpx.get(f"{hearth.base_url}/activity").text
        assert f'id="request-{running.id}"' in page and "1 running, 0 waiting" in page
        said = httpx.post(f"{hearth.base_url}/activity/requests/{running.id}/cancel", headers=PARTIAL)
        assert "Cancelled the request." in said.text
        assert '"finish_reason":"cancelled"' in "".join(lines)
    again = httpx.post(f"{hearth.base_url}/activity/requests/{running.id}/cancel", headers=PARTIAL)
    assert "over already" in again.text


def snapshot(**values: object) -> Snapshot:
    model = ModelSnapshot("m", "loaded", False, 1, 1, 300, 100, 150, 100, 0.0)
    shown = Snapshot(1000, 500, 0, 100, "lru", (model,), (), 1, 0, 0.0, (), 1)
    return replace(shown, **values)  # type: ignore[arg-type]


def test_the_parts_of_the_bar_add_up_to_the_limit() -> None:
    parts = {share.name: share for share in memory_shares(snapshot())}
    assert {name: share.amount for name, share in parts.items()} == {
        "weights": 300,
        "kv": 100,
        "cache": 100,
        "free": 500,
    }
    assert sum(share.width for share in parts.values()) == pytest.approx(1000)
    assert parts["kv"].start == 300


def test_over_the_limit_the_bar_is_as_long_as_what_is_used() -> None:
    parts = memory_shares(snapshot(limit_bytes=250, over_bytes=250))
    assert sum(share.width for share in parts) == pytest.approx(1000)
    assert parts[-1].amount == 0


def test_an_empty_bar_has_no_width() -> None:
    assert [share.width for share in shares((("a", 0), ("b", 0)), 0)] == [0, 0]


@pytest.mark.parametrize(
    ("numbers", "top"), [((0.0, 0.0), 10), ((0.0, 9.0), 10), ((0.0, 11.0), 20), ((0.0, 60.0, 30.0), 100)]
)
def test_the_chart_keeps_within_its_box_and_a_steady_scale(numbers: tuple[float, ...], top: float) -> None:
    chart = Chart.of(numbers, 2.0)
    assert chart.top == top
    points = [tuple(map(float, point.split(","))) for point in chart.line.split()]
    assert points[0][0] == 0 and points[-1][0] == WIDTH
    assert points and all(0 <= y <= HEIGHT for _, y in points)


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59.9, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")])
def test_ages(seconds: float, said: str) -> None:
    assert age(seconds) == said
