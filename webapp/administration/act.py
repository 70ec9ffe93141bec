"""Writes acts of administration to the audit: each act leaves one row, a refused one too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from webapp.audit.log import AuditLog
from webapp.errors import HearthError


@dataclass(slots=True)
class Change:
    """The values before and after an act, for its row in the audit."""

    before: object = None
    after: object = None


@contextmanager
def audited(audit: AuditLog, who: str, action: str, target: str) -> Iterator[Change]:
    """Write one audit row for the act in the block, with the `Change` that the block fills in, even if refused."""
    change = Change()
    try:
        yield change
    except HearthError as error:
        audit.admin(who, action, target, change.before, status="refused", code=error.code)
        raise
    audit.admin(who, action, target, change.before, change.after)


def name_in(raw: Mapping[str, object]) -> str:
    """The name in a body, of any type, as text of at most 100 characters for the audit."""
    return str(raw.get("name", ""))[:100]
