"""Which requests have taken too long, by the timeouts of the settings."""

from __future__ import annotations

from webapp.engine.limits import Timeouts
from webapp.engine.sequence import Sequence
from webapp.errors import HearthError, TimedOut


def overdue(sequence: Sequence, current: Timeouts, now: float) -> HearthError | None:
    """The error that ends a request whose time is up, else None. A running one keeps the timeouts of its admission."""
    limits = sequence.timeouts or current
    age = now - sequence.submitted
    if sequence.state == "waiting" and 0 < limits.queue_seconds <= age:
        return sequence.refusal or _timed_out("did not leave the queue", limits.queue_seconds, "queue timeout")
    if sequence.first_token is None and 0 < limits.first_token_seconds <= age:
        return _timed_out("gave no first token", limits.first_token_seconds, "first token timeout")
    if 0 < limits.total_seconds <= age:
        return _timed_out("was not finished", limits.total_seconds, "total timeout")
    return None


def _timed_out(what: str, seconds: float, setting: str) -> TimedOut:
    return TimedOut(f"The request {what} within {seconds:g} s. The {setting} in the settings sets this limit.")
