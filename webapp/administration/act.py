"""Acts of administration. Each writes one row to the audit, also when it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from webapp.audit.log import AuditLog
from webapp.errors import HearthError


@dataclass(slots=True)
class Change:
    """The change that an act makes, as its audit row shows it."""

    before: object = None
    after: object = None


@contextmanager
def audited(audit: AuditLog, who: str, action: str, target: str) -> Iterator[Change]:
    """Write the row of the act that the block does, with what it says it changed, whether it is done or refused."""
    change = Change()
    try:
        yield change
    except HearthError as error:
        audit.admin(who, action, target, change.before, status="refused", code=error.code)
        raise
    audit.admin(who, action, target, change.before, change.after)


def name_in(raw: Mapping[str, object]) -> str:
    """The name that a body gives, whatever it is, cut to what a row of the audit has room for."""
    return str(raw.get("name", ""))[:100]
