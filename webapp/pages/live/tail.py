"""Knows the newest audit rows in one tab, and makes the changes for its table."""

from __future__ import annotations

from collections.abc import Iterator

from flask import render_template

from webapp.audit.log import AuditLog
from webapp.pages.audit import PAGE_ROWS
from webapp.store.audit import AuditRow, Filters

# Selects the table of a page without filters; other tables do not change.
LIVE = "#audit[data-live]"


class Tail:
    """The newest rows in one tab; `news` inserts rows that are new since."""

    def __init__(self, log: AuditLog, revision: object):
        """`revision` is the tab's own. If it is not the newest, the first news is the whole table."""
        self._log = log
        self._known: tuple[str, ...] | None = None
        self._revision = -1
        if revision == log.revision:
            self._revision = log.revision
            self._known = tuple(row.id for row in log.records.rows(Filters(), PAGE_ROWS))

    def news(self) -> Iterator[tuple[str, str, str]]:
        """Yield target, swap and markup of each part that changes."""
        if self._log.revision == self._revision:
            return
        self._revision = self._log.revision
        rows = self._log.records.rows(Filters(), PAGE_ROWS)
        known, self._known = self._known, tuple(row.id for row in rows)
        if known is None or set(known).isdisjoint(self._known):
            yield f"{LIVE} #audit-table", "outerMorph", render_template("partials/audit_table.html", rows=rows)
            return
        yield from ((f"{LIVE} #row-{gone}", "delete", "") for gone in known if gone not in self._known)
        yield from self._inserted(rows, known)

    def _inserted(self, rows: list[AuditRow], known: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        """Yield the new rows. Neighbours go together, because htmx looks up all targets before it inserts any row."""
        place, together = (f"{LIVE} #audit-table", "beforeend"), ""
        for row in reversed(rows):
            if row.id not in known:
                together = render_template("partials/audit_row.html", row=row, open=False) + together
                continue
            if together:
                yield *place, together
            place, together = (f"{LIVE} #row-{row.id}", "beforebegin"), ""
        if together:
            yield *place, together
