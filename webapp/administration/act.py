"""What all acts of administration have in common: each leaves one row in the audit, refused ones too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from webapp.audit.log import AuditLog
from webapp.errors import HearthError


@dataclass(slots=True)
class Change:
    """What an act changes, for its row in the audit."""

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
