"""The audit page: requests and acts of administration as a table with filters. A row opens in place."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from flask import Response, abort, make_response, redirect, render_template, request, url_for

from webapp.audit.log import AuditLog
from webapp.gate import server
from webapp.pages.drawing import words
from webapp.pages.room import room, wants_partial
from webapp.store.audit import KINDS, STATUSES, AuditRow, Filters

PAGE_ROWS = 50
ASKED = ("q", "model", "status", "who", "kind", "since")
SPANS = (("15m", "Last 15 minutes"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"))

blueprint = room("audit")


@blueprint.get("/audit")
def show() -> Response:
    asked: dict[str, Any] = {name: text for name in ASKED if (text := request.args.get(name, "").strip())}
    filters, before = Filters.parse(asked, time.time()), request.args.get("before")
    log = server().audit
    log.flush()
    revision = log.revision
    try:
        rows = log.records.rows(filters, PAGE_ROWS + 1, before)
    except LookupError:
        return make_response(redirect(url_for("audit.show", **asked)))
    values = {
        "rows": rows[:PAGE_ROWS],
        "asked": asked,
        "before": before,
        "older": url_for("audit.show", **asked, before=rows[PAGE_ROWS - 1].id) if len(rows) > PAGE_ROWS else None,
        "revision": revision,
        "log": log,
    }
    if wants_partial():
        response = make_response(render_template("partials/audit.html", **values))
        response.headers["HX-Push-Url"] = url_for("audit.show", **asked)
        return response
    return make_response(render_template("pages/audit.html", **values, choices=choices(log, asked)))


@blueprint.get("/audit/<row_id>")
def show_row(row_id: str) -> str:
    """Return a row for its table, open or closed (`?closed`). Without htmx return a page about the row."""
    row = server().audit.records.find(row_id)
    if row is None:
        abort(404)
    if wants_partial():
        return render_template("partials/audit_row.html", row=row, open="closed" not in request.args)
    return render_template("pages/audit_row.html", row=row)


@blueprint.app_template_filter()
def facts(row: AuditRow) -> Iterator[tuple[str, str]]:
    """Yield name and text of everything in a row but its content, in the order of events."""
    detail = detail_of(row)
    yield "Id", row.id
    yield "Began", f"{datetime.fromtimestamp(row.time):%Y-%m-%d %H:%M:%S}"
    yield "Asked by", row.who
    yield "At", row.endpoint
    if row.model:
        yield "Model", row.model
    if row.answered_by and row.answered_by != row.model:
        yield "Answered by", row.answered_by
    yield "Ended", f"{row.status}, {row.code}" if row.code else row.status
    yield from measured(row)
    for name in ("error", "ignored", "target", "before", "after"):
        if name in detail:
            yield name.capitalize(), as_text(detail[name])


def measured(row: AuditRow) -> Iterator[tuple[str, str]]:
    for name, amount_ms in (("Waited", row.queue_ms), ("First token", row.ttft_ms), ("Took", row.duration_ms)):
        if amount_ms is not None:
            yield name, words.seconds(amount_ms / 1000)
    if row.prompt_tokens is not None:
        cached = f", {words.count(row.cached_tokens)} of them cached" if row.cached_tokens else ""
        yield "Prompt", f"{words.count(row.prompt_tokens)} tokens{cached}"
    if row.completion_tokens is not None:
        thought = f", {words.count(row.reasoning_tokens)} of them thoughts" if row.reasoning_tokens else ""
        yield "Answer", f"{words.count(row.completion_tokens)} tokens{thought}"
    if row.tokens_per_second is not None:
        yield "Speed", words.rate(row.tokens_per_second)


@blueprint.app_template_filter()
def subject(row: AuditRow) -> str | None:
    """Return what a row is about: the model of a request, or the target of a change."""
    target = detail_of(row).get("target") if row.kind == "admin" else None
    return row.model or (as_text(target) if target else None)


@blueprint.app_template_filter()
def transcript(row: AuditRow) -> Iterator[tuple[str, str]]:
    """Yield role and text of each message that the audit stored, the answer last."""
    detail = detail_of(row)
    asked = detail.get("request")
    match asked:
        case {"messages": [*messages]}:
            for message in messages:
                yield str(message["role"]).capitalize(), as_text(message.get("content") or message)
        case {"prompt": prompt}:
            yield "Prompt", as_text(prompt)
        case {"input": texts}:
            yield "Input", as_text(texts)
        case str():
            yield "Request", asked
    for name in ("reasoning", "answer"):
        if name in detail:
            yield name.capitalize(), as_text(detail[name])


def detail_of(row: AuditRow) -> Mapping[str, object]:
    return dict(json.loads(row.detail)) if row.detail else {}


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def choices(log: AuditLog, asked: Mapping[str, str]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return each select's name, its label for all, and its values with labels, always with the current value."""
    offered = (
        ("model", "Every model", [*words.labels(log.records.recent("model")).items()]),
        ("status", "Every outcome", [(status, status.capitalize()) for status in STATUSES]),
        ("who", "Everyone", [(who, who.capitalize()) for who in log.records.recent("who")]),
        ("kind", "Everything", [(kind, f"{kind.capitalize()}s") for kind in KINDS]),
        ("since", "Any time", list(SPANS)),
    )
    return [
        (name, every, [*values, *((text, text) for text in [asked.get(name, "")] if text and text not in dict(values))])
        for name, every, values in offered
    ]
