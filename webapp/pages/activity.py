"""The activity page: memory, requests, loaded models and speed, and the buttons that act on them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

from flask import Response, make_response, redirect, render_template, request, url_for

from webapp.engine.history import SPAN_SECONDS
from webapp.engine.snapshot import Snapshot
from webapp.gate import server, visitor, who
from webapp.pages.drawing.chart import Chart, Share, shares
from webapp.pages.room import room, wants_partial
from webapp.server import Server

blueprint = room("activity")

# The button waits this long for a load, so that an early failure is its answer. The page shows the rest.
LOAD_PATIENCE_SECONDS = 0.3
PARTS = ("memory", "requests", "loaded", "speed")


@blueprint.get("/activity")
def show() -> str:
    return render_template("pages/activity.html", **values(server()))


@blueprint.post("/activity/requests/<request_id>/cancel")
def cancel(request_id: str) -> Response:
    found = server().router.cancel(request_id, "page", visitor())
    return _done("Cancelled the request." if found else "That request was over already.")


@blueprint.post("/activity/load")
def load() -> Response:
    model_id = request.form.get("model", "")
    return _done(_beginning(server().administration.models.load(who(), model_id), model_id))


@blueprint.post("/activity/unload")
def unload() -> Response:
    return _done(server().administration.models.unload(who(), request.form.get("model", "")))


@blueprint.post("/activity/pin")
def pin() -> Response:
    model_id, pinned = request.form.get("model", ""), request.form.get("pinned") == "yes"
    effects = server().administration.settings.pin(who(), model_id, pinned)
    return _done(" ".join([f"{model_id} is {'pinned' if pinned else 'no longer pinned'}.", *effects]))


def values(server: Server) -> dict[str, object]:
    """Return the values for this page's partials, on the page and over `/live` alike."""
    snapshot = server.engine.snapshot
    known = {model.id for model in snapshot.models if not model.failed}
    return {
        "snapshot": snapshot,
        "shares": memory_shares(snapshot),
        "chart": Chart.of(snapshot.speeds, SPAN_SECONDS),
        "loadable": [model.id for model in server.catalog.models() if model.id not in known],
        "own_pins": server.settings.current.pinned,
    }


def partials(server: Server) -> Iterator[tuple[str, str]]:
    """Yield each part's CSS selector and its HTML, all drawn from one snapshot."""
    shown = values(server)
    for part in PARTS:
        yield f"#{part}", render_template(f"partials/{part}.html", **shown)


def memory_shares(snapshot: Snapshot) -> list[Share]:
    weights = sum(model.weights_bytes for model in snapshot.models)
    kv = sum(model.kv_bytes for model in snapshot.models)
    free = max(0, snapshot.limit_bytes - snapshot.used_bytes)
    parts = (("weights", weights), ("kv", kv), ("cache", snapshot.prefix_cache_bytes), ("free", free))
    return shares(parts, max(snapshot.limit_bytes, snapshot.used_bytes))


def _beginning(done: Future[None], model_id: str) -> str:
    try:
        done.result(LOAD_PATIENCE_SECONDS)
    except TimeoutError:
        return f"Loading {model_id}."
    return f"Loaded {model_id}."


def _done(effect: str) -> Response:
    """Return the current page's contents and a notice of the effect. A plain form is redirected to the page."""
    if not wants_partial():
        return make_response(redirect(url_for("activity.show"), 303))
    notice = render_template("partials/notice.html", message=effect, kind="status")
    return make_response(notice + render_template("partials/activity.html", **values(server())))
