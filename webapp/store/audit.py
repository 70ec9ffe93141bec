"""The rows of audit.db: one for each request and each act of administration. Knows nothing of who records them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, get_args

from webapp.errors import InvalidRequest
from webapp.store.database import Database

Kind = Literal["request", "admin"]
Status = Literal["ok", "cancelled", "timeout", "refused", "error"]
KINDS: tuple[str, ...] = get_args(Kind)
STATUSES: tuple[str, ...] = get_args(Status)

BATCH_ROWS = 100
SEARCHED = ("id", "who", "endpoint", "model", "answered_by", "code", "detail")
RECENT_ROWS = 5000


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One request or act, its sender and its end. `time` is its arrival; `code` is the reason of its end: a finish
    reason, an error's code, or who cancelled it. `detail` is JSON text."""

    id: str
    time: float
    kind: Kind
    who: str
    endpoint: str
    model: str | None = None
    answered_by: str | None = None
    provider: str | None = None
    status: Status = "ok"
    code: str | None = None
    queue_ms: float | None = None
    ttft_ms: float | None = None
    duration_ms: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    detail: str | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Decode speed, first token excluded; None when there is nothing to measure."""
        if self.ttft_ms is None or self.duration_ms is None or (self.completion_tokens or 0) < 2:
            return None
        decode_ms = self.duration_ms - self.ttft_ms
        return 1000 * ((self.completion_tokens or 0) - 1) / decode_ms if decode_ms > 0 else None


@dataclass(frozen=True, slots=True)
class Filters:
    """Selects rows; a field that is None selects all. `model` matches the requested model or the one that answered."""

    id: str | None = None
    kind: str | None = None
    who: str | None = None
    model: str | None = None
    status: str | None = None
    since: float | None = None
    text: str | None = None

    @classmethod
    def parse(cls, asked: Mapping[str, str], now: float) -> Filters:
        """Parses query parameters; blank ones do not count. Raises InvalidRequest, which names the parameter."""
        given = {name: text.strip() for name, text in asked.items() if text.strip()}
        for name in given.keys() - ASKED:
            raise InvalidRequest(f"There is no parameter '{name[:64]}'.", name[:64])
        for name, known in (("kind", KINDS), ("status", STATUSES)):
            if given.get(name, known[0]) not in known:
                raise InvalidRequest(f"'{name}' must be one of {', '.join(known)}.", name)
        since = moment(given.pop("since"), now) if "since" in given else None
        return cls(text=given.pop("q", None), since=since, **given)


ASKED = frozenset({"id", "kind", "who", "model", "status", "since", "q"})
COLUMNS = tuple(field.name for field in fields(AuditRow))
_VALUES = attrgetter(*COLUMNS)
_INSERT = f"insert into audit ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})"
_SELECT = f"select number, {', '.join(COLUMNS)} from audit"
_NEWEST_FIRST = "order by time desc, number desc limit :limit"
_ANYWHERE = " or ".join(f"{name} like :text escape '!'" for name in SEARCHED)
_WHERE = {
    "id": "id = :id",
    "kind": "kind = :kind",
    "who": "who = :who",
    "model": "(model = :model or answered_by = :model)",
    "status": "status = :status",
    "since": "time >= :since",
    "text": f"({_ANYWHERE})",
}
_BEFORE = "(time, number) < (:before_time, :before_number)"
_SPAN = re.compile(r"([0-9]{1,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def moment(text: str, now: float) -> float:
    """Seconds since 1970 for such a number, an ISO date or time, or a time span before `now`, as 15m, 24h, 7d."""
    if span := _SPAN.fullmatch(text):
        return now - int(span[1]) * _SECONDS[span[2]]
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(
            "'since' must be a time: seconds since 1970, 2030-12-31T23:59, or how long ago, as in 15m, 24h or 7d.",
            "since",
        ) from None


class AuditRecords:
    """Reads and writes audit.db."""

    def __init__(self, database: Database):
        self._database = database

    def add(self, rows: Sequence[AuditRow]) -> int:
        """Store all rows or none; returns the number of the last one."""
        with self._database.write() as tx:
            tx.executable.exec_driver_sql(_INSERT, [_VALUES(row) for row in rows])
            return _newest(tx)

    def newest(self) -> int:
        """The number of the row that was added last; 0 when there is none."""
        with self._database.read() as tx:
            return _newest(tx)

    def find(self, row_id: str) -> AuditRow | None:
        return next(iter(self.rows(Filters(id=row_id), limit=1)), None)

    def rows(self, filters: Filters, limit: int, before: str | None = None) -> list[AuditRow]:
        """At most `limit` rows, newest first, from after the row with the id `before`. Raises LookupError."""
        place = self._place(before) if before is not None else None
        return [row for _, row in self._batch(filters, limit, place)]

    def all_rows(self, filters: Filters) -> Iterator[AuditRow]:
        """Yields rows newest first, read in batches, so that neither memory nor lock time grows with their number."""
        place = None
        while batch := self._batch(filters, BATCH_ROWS, place):
            yield from (row for _, row in batch)
            place = (batch[-1][1].time, batch[-1][0])

    def recent(self, column: Literal["model", "who"]) -> list[str]:
        """The distinct values of a column in the latest rows, in alphabetical order."""
        with self._database.read() as tx:
            found = tx.query(
                f"select distinct {column} as value from (select {column} from audit order by time desc limit :limit)"
                " where value is not null order by value",
                limit=RECENT_ROWS,
            )
            return [row["value"] for row in found]

    def count(self) -> int:
        with self._database.read() as tx:
            return int(next(iter(tx.query("select count(*) as rows from audit")))["rows"])

    def delete_before(self, time: float, limit: int) -> int:
        """Delete at most `limit` rows that arrived before `time`, oldest first; returns their number."""
        return self._delete("select number from audit where time < :time order by time limit :limit", limit, time=time)

    def delete_oldest(self, limit: int) -> int:
        return self._delete("select number from audit order by time, number limit :limit", limit)

    def _delete(self, which: str, limit: int, **values: float) -> int:
        with self._database.write() as tx:
            tx.query(f"delete from audit where number in ({which})", limit=limit, **values)
            return int(next(iter(tx.query("select changes() as gone")))["gone"])

    def _place(self, row_id: str) -> tuple[float, int]:
        with self._database.read() as tx:
            found = list(
                tx.query("select time, number from audit where id = :id order by time desc limit 1", id=row_id)
            )
        if not found:
            raise LookupError(row_id)
        return found[0]["time"], found[0]["number"]

    def _batch(self, filters: Filters, limit: int, before: tuple[float, int] | None) -> list[tuple[int, AuditRow]]:
        wanted = {name: value for name in _WHERE if (value := getattr(filters, name)) is not None}
        conditions = [_WHERE[name] for name in wanted]
        if "text" in wanted:
            wanted["text"] = _like(wanted["text"])
        if before is not None:
            conditions.append(_BEFORE)
            wanted |= {"before_time": before[0], "before_number": before[1]}
        where = f"where {' and '.join(conditions)}" if conditions else ""
        with self._database.read() as tx:
            found = list(tx.query(f"{_SELECT} {where} {_NEWEST_FIRST}", limit=limit, **wanted))
        return [_row(values) for values in found]


def _newest(tx: Any) -> int:
    return int(next(iter(tx.query("select max(number) as newest from audit")))["newest"] or 0)


def _row(values: Any) -> tuple[int, AuditRow]:
    number = values.pop("number")
    return number, AuditRow(**values)


def _like(text: str) -> str:
    escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"
