"""GET /api/audit/logs and /api/audit/export: the audit as JSON, and as a file."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date
from itertools import chain

from flask import Blueprint, Response, request

from webapp.api.declaration import Json, gives, takes_query
from webapp.api.reply import json_response
from webapp.errors import InvalidRequest
from webapp.gate import server
from webapp.store.audit import ASKED, COLUMNS, AuditRow, Filters

DEFAULT_ROWS = 100
MOST_ROWS = 1000
PIECE_CHARACTERS = 65_536
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
HEAD = (*COLUMNS[:-1], "tokens_per_second", COLUMNS[-1])
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson; charset=utf-8"}
FILTERS: dict[str, Json] = {name: {"type": "string"} for name in sorted(ASKED)}

routes = Blueprint("audit", __name__, url_prefix="/api/audit")


@routes.get("/logs")
@takes_query(
    **FILTERS,
    limit={"type": "integer", "minimum": 1, "maximum": MOST_ROWS},
    before={"type": "string", "description": "The `next` of the rows before."},
)
def list_rows() -> Response:
    """List the audit's rows, newest first. `next` is the `before` of the following page, or null."""
    asked = request.args.to_dict()
    limit, before = limit_of(asked.pop("limit", "")), asked.pop("before", "").strip() or None
    filters = Filters.parse(asked, time.time())
    server().audit.flush()
    try:
        rows = server().audit.records.rows(filters, limit + 1, before)
    except LookupError:
        raise InvalidRequest(f"There is no row with the id '{before}'.", "before") from None
    following = rows[limit - 1].id if len(rows) > limit else None
    return json_response({"logs": [to_wire(row) for row in rows[:limit]], "next": following})


@routes.get("/export")
@takes_query(**FILTERS, format={"enum": list(CONTENT_TYPES), "default": "jsonl"})
@gives(*(kind.partition(";")[0] for kind in CONTENT_TYPES.values()))
def export() -> Response:
    """Stream all rows that fit the filters as a file."""
    asked = request.args.to_dict()
    form = asked.pop("format", "") or "jsonl"
    if form not in LINES:
        raise InvalidRequest(f"'format' must be one of {', '.join(LINES)}.", "format")
    filters = Filters.parse(asked, time.time())
    server().audit.flush()
    pieces = in_pieces(LINES[form](server().audit.records.all_rows(filters)))
    name = f"hearth-audit-{date.today()}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(pieces, headers=headers, content_type=CONTENT_TYPES[form])


def limit_of(text: str) -> int:
    if not text.strip():
        return DEFAULT_ROWS
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST_ROWS):
        raise InvalidRequest(f"'limit' must be a whole number from 1 to {MOST_ROWS}.", "limit")
    return int(text)


def to_wire(row: AuditRow) -> dict[str, object]:
    speed = row.tokens_per_second
    return asdict(row) | {"tokens_per_second": None if speed is None else round(speed, 2)}


def json_lines(rows: Iterator[AuditRow]) -> Iterator[str]:
    return (json.dumps(to_wire(row), ensure_ascii=False) + "\n" for row in rows)


def csv_lines(rows: Iterator[AuditRow]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    for cells in chain([HEAD], (cells_of(row) for row in rows)):
        writer.writerow(cells)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def cells_of(row: AuditRow) -> list[object]:
    """Return the row's values in the order of HEAD. An apostrophe goes before text that looks like a formula."""
    values = to_wire(row)
    return [harmless(values[name]) for name in HEAD]


def harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def in_pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Join the lines to pieces of at least PIECE_CHARACTERS, except the last."""
    piece: list[str] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= PIECE_CHARACTERS:
            yield "".join(piece).encode()
            piece, size = [], 0
    yield "".join(piece).encode()


LINES: dict[str, Callable[[Iterator[AuditRow]], Iterator[str]]] = {"csv": csv_lines, "jsonl": json_lines}
