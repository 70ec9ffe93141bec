"""The audit log: rows come from any thread and are written by one, so that no request and no token ever waits for it.

What a kill of the process may cost is the rows of the last moment, `FLUSH_SECONDS` at most.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from queue import Empty, SimpleQueue

from webapp.audit.trace import LOCAL, LONGEST_NAME, Content
from webapp.dialects import Refusal
from webapp.settings.table import Settings
from webapp.store.audit import AuditRecords, AuditRow, Status
from webapp.store.database import FAILURES, Database

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.2
FLUSH_ROWS = 500
MOST_WAITING = 50_000
RETENTION_SECONDS = 600.0
DELETED_AT_ONCE = 2000
PAGES_AT_ONCE = 1000
# Beyond its size the log is cut back a little further, so that not every row costs another.
CUT_BACK_TO = 0.95
DAY_SECONDS = 86_400
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Flush:
    """Write what came before, then set `done`."""

    done: threading.Event


@dataclass(frozen=True, slots=True)
class Retain:
    """Delete now what is too old or too much."""


@dataclass(frozen=True, slots=True)
class Close:
    """Write what came before and end the thread."""


Parcel = AuditRow | Flush | Retain | Close


class AuditLog:
    """Construct, `start()`, `record()`. `settings` is asked for each row, and whenever rows are deleted.

    `observe` is told of every row, also of those that are lost.
    """

    def __init__(
        self,
        database: Database,
        settings: Callable[[], Settings],
        *,
        observe: Callable[[AuditRow], None] | None = None,
        clock: Callable[[], float] = time.time,
        retention_seconds: float = RETENTION_SECONDS,
        most_waiting: int = MOST_WAITING,
    ):
        self.records = AuditRecords(database)
        self.revision = self.records.newest()
        self.lost = 0
        self._lost_and_logged = 0
        self._database = database
        self._settings = settings
        self._observe = observe
        self._clock = clock
        self._retention_seconds = retention_seconds
        self._most_waiting = most_waiting
        self._inbox: SimpleQueue[Parcel] = SimpleQueue()
        self._losing = threading.Lock()
        self._retention: Iterator[None] | None = None
        self._retain_at = time.monotonic()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    # Any thread

    def record(self, row: AuditRow, notes: Mapping[str, object] | None = None, content: Content | None = None) -> None:
        """Take a row; never waits. `notes` and as much of the content as the settings allow become its detail."""
        if self._observe is not None:
            self._observe(row)
        if self.waiting >= self._most_waiting:
            self._lose(1)
            return
        detail = dict(notes or {}) | kept_of(content, self.settings.audit_content)
        self._inbox.put(replace(row, detail=as_json(detail)) if detail else row)

    def admin(
        self,
        who: str,
        action: str,
        target: str,
        before: object = None,
        after: object = None,
        status: Status = "ok",
        code: str | None = None,
    ) -> None:
        """One act of administration, as `settings.save` or `models.load`, with what it changed. No secrets, please."""
        notes = {"target": target, "before": before, "after": after}
        self.record(
            AuditRow(
                id=f"adm_{secrets.token_hex(16)}",
                time=self._clock(),
                kind="admin",
                who=who,
                endpoint=action,
                status=status,
                code=code,
            ),
            {name: value for name, value in notes.items() if value is not None},
        )

    def refused(self, path: str, request_id: str, refusal: Refusal) -> None:
        """A request under /v1 that was turned away before the application saw it."""
        if is_recorded(path):
            row = AuditRow(
                id=request_id,
                time=self._clock(),
                kind="request",
                who=LOCAL,
                endpoint=path[:LONGEST_NAME],
                status="refused",
                code=refusal.code,
            )
            self.record(row, {"error": refusal.message})

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until the rows recorded so far can be read."""
        if not self._thread.is_alive():
            return False
        done = threading.Event()
        self._inbox.put(Flush(done))
        return done.wait(timeout)

    @property
    def waiting(self) -> int:
        """Rows recorded and not yet written."""
        return self._inbox.qsize()

    @property
    def used_bytes(self) -> int:
        return self._database.used_bytes

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings()

    def retain(self) -> None:
        """Delete what is too old or too much now, and not only in a few minutes."""
        self._inbox.put(Retain())

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Write what was recorded, then end."""
        self._inbox.put(Close())
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._database.close()

    # The writer

    def _run(self) -> None:
        while not self._stopped:
            rows, waiting = self._gather()
            self._write(rows)
            for done in waiting:
                done.set()
            self._delete_some()

    def _gather(self) -> tuple[list[AuditRow], list[threading.Event]]:
        """Rows of a fifth of a second or 500, unless something else comes in between."""
        rows: list[AuditRow] = []
        until = time.monotonic() if self._retention else self._retain_at
        while len(rows) < FLUSH_ROWS:
            try:
                parcel = self._inbox.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            match parcel:
                case AuditRow():
                    if not rows:
                        until = min(until, time.monotonic()) + FLUSH_SECONDS
                    rows.append(parcel)
                case Flush(done):
                    return rows, [done]
                case Retain():
                    self._retention = None
                    self._retain_at = time.monotonic()
                    break
                case Close():
                    self._stopped = True
                    break
        return rows, []

    def _write(self, rows: list[AuditRow]) -> None:
        if not rows:
            return
        try:
            self.revision = self.records.add(rows)
        except (*FAILURES, ValueError) as error:
            log.error("the audit log could not be written: %s", error)
            self._lose(len(rows))
        if self.lost != self._lost_and_logged:
            self._lost_and_logged = self.lost
            log.error("the audit log has lost %d rows since the start", self.lost)

    def _lose(self, rows: int) -> None:
        with self._losing:
            self.lost += rows

    # What goes

    def _delete_some(self) -> None:
        """A batch of what must go; the rest after the next rows were written."""
        if self._retention is None:
            if time.monotonic() < self._retain_at:
                return
            self._retention = self._delete_all()
        try:
            next(self._retention)
        except StopIteration:
            self._retention, self._retain_at = None, time.monotonic() + self._retention_seconds
        except FAILURES as error:
            log.error("old rows of the audit log could not be deleted: %s", error)
            self._retention, self._retain_at = None, time.monotonic() + self._retention_seconds

    def _delete_all(self) -> Iterator[None]:
        settings = self.settings
        oldest = self._clock() - settings.audit_days * DAY_SECONDS
        while self.records.delete_before(oldest, DELETED_AT_ONCE):
            yield
        limit_bytes = settings.audit_mb * MB
        if self._database.used_bytes > limit_bytes:
            while (used := self._database.used_bytes) > limit_bytes * CUT_BACK_TO:
                surplus = self.records.count() * (1 - limit_bytes * CUT_BACK_TO / used)
                if not self.records.delete_oldest(min(max(1, round(surplus)), DELETED_AT_ONCE)):
                    break
                yield
        while self._database.give_back(PAGES_AT_ONCE):
            yield


def is_recorded(path: str) -> bool:
    """Return whether requests to this path get a row: all of /v1, except what monitoring polls."""
    return path.startswith("/v1/") and path != "/v1/health"


def kept_of(content: Content | None, how: str) -> dict[str, object]:
    """Return the part of the content that the setting `audit_content` lets the audit store."""
    if content is None or how == "none":
        return {}
    said = {field.name: getattr(content, field.name) for field in fields(content)}
    return {name: value if how == "full" else hash_of(value) for name, value in said.items() if value}


def hash_of(value: object) -> str:
    text = value if isinstance(value, str) else as_json(value)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
