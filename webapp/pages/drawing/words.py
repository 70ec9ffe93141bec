"""Writes numbers, sizes and days as the pages show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from webapp.engine.snapshot import ModelState
from webapp.sizes import size

# The colour of a state's word, and whether the circle before it is full.
TONES: Mapping[ModelState, str] = {
    "ready": "",
    "loading": "warn full",
    "loaded": "lit full",
    "draining": "warn",
    "failed": "bad",
}


def count(number: int) -> str:
    return f"{number:,}"


def seconds(duration: float) -> str:
    if duration < 1:
        return f"{duration * 1000:.0f} ms"
    return f"{duration:.1f} s" if duration < 100 else f"{duration:,.0f} s"


def age(duration: float) -> str:
    """Write a duration in its two largest units: 8 s, 3 min 5 s, 2 h 10 min."""
    whole = int(duration)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rate(tokens_per_second: float) -> str:
    return f"{tokens_per_second:.1f} tok/s" if tokens_per_second < 10 else f"{tokens_per_second:,.0f} tok/s"


def short(model_id: str) -> str:
    """Return a model's short name: without the organisation, and a single plain word capitalised."""
    name = model_id.rsplit("/", 1)[-1]
    return name.capitalize() if name.isalpha() and name.islower() else name


def labels(model_ids: Sequence[str]) -> dict[str, str]:
    """Return a label for each model: the short name, or the whole one where two short names are equal."""
    alike = Counter(map(short, model_ids))
    return {each: short(each) if alike[short(each)] == 1 else each for each in model_ids}


def day(moment: float, today: date | None = None) -> str:
    """Return the heading in the conversation list for this time."""
    today = today or date.today()
    then = date.fromtimestamp(moment)
    if then >= today:
        return "Today"
    if then == today - timedelta(days=1):
        return "Yesterday"
    if then > today - timedelta(days=7):
        return f"{then:%A}"
    return f"{then:%B}" if then.year == today.year else f"{then:%B %Y}"


def clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment):%Y-%m-%d %H:%M}"


def moment(then: float, today: date | None = None) -> str:
    """Write a time: the time of day if it is today, else with the date."""
    found, today = datetime.fromtimestamp(then), today or date.today()
    if found.date() == today:
        return f"{found:%H:%M:%S}"
    return f"{found:%b} {found.day}, {found:%H:%M}" if found.year == today.year else f"{found:%Y-%m-%d %H:%M}"


def idle(duration: float) -> str:
    """Write how long nothing happened, so coarsely that the page does not flicker."""
    if duration < 60:
        return "just used"
    return f"idle {duration // 60:.0f} min" if duration < 7200 else f"idle {duration // 3600:.0f} h"


def tone(state: ModelState) -> str:
    return TONES[state]


_OFFERED = (size, count, seconds, age, rate, short, labels, day, clock, moment, idle, tone)
FILTERS = {filter_.__name__: filter_ for filter_ in _OFFERED}
