"""The audit log: any thread records rows and one thread writes them, so that no request and no token ever waits.

If the process is killed, the rows of the last `FLUSH_SECONDS` may be lost.
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
# A log that is too large shrinks to this share of its limit, so that not every new row deletes an old one.
CUT_BACK_TO = 0.95
DAY_SECONDS = 86_400
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Flush:
    """Tells the writer to write the rows before this parcel, then to set `done`."""

    done: threading.Event


@dataclass(frozen=True, slots=True)
class Retain:
    """Tells the writer to delete, now, the rows that are too old or exceed the size limit."""


@dataclass(frozen=True, slots=True)
class Close:
    """Tells the writer to write the rows before this parcel and to end its thread."""


Parcel = AuditRow | Flush | Retain | Close


class AuditLog:
    """Stores audit rows: construct it, call `start()`, then `record()`.

    It reads `settings` anew for each row and deletion, and calls `observe` with every row, a lost one too.
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
        """Record an act of administration, such as `settings.save`, with the values it changed. Never pass secrets."""
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
        """Record a request under /v1 that was refused before the application saw it."""
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
        """Number of rows recorded and not yet written."""
        return self._inbox.qsize()

    @property
    def used_bytes(self) -> int:
        return self._database.used_bytes

    @property
    def settings(self) -> Settings:
        """The settings in force at this moment."""
        return self._settings()

    def retain(self) -> None:
        """Delete the rows that are too old or exceed the size limit now, and not only in a few minutes."""
        self._inbox.put(Retain())

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Write the recorded rows, end the thread and close the database."""
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
        """Collect the rows of `FLUSH_SECONDS`, at most `FLUSH_ROWS`; another kind of parcel ends the batch early.

        Also returns the events to set once the rows are written.
        """
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

    # Deletion

    def _delete_some(self) -> None:
        """Delete one batch of old rows; the next batch follows after the next rows are written."""
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
    """True for all of /v1 but /v1/health, which monitors request every few seconds."""
    return path.startswith("/v1/") and path != "/v1/health"


def kept_of(content: Content | None, how: str) -> dict[str, object]:
    """The part of the content that `how`, the setting `audit_content`, allows to store: all, hashes or nothing."""
    if content is None or how == "none":
        return {}
    values = {field.name: getattr(content, field.name) for field in fields(content)}
    return {name: value if how == "full" else hash_of(value) for name, value in values.items() if value}


def hash_of(value: object) -> str:
    text = value if isinstance(value, str) else as_json(value)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
