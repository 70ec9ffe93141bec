"""Which entries of the prefix caches go first."""

from __future__ import annotations

from webapp.engine.cache_budget import SHARED_REQUESTS, CacheBudget, CachedPrefix


class Kept:
    """Entries of 10 bytes by number, in the order of their going."""

    def __init__(self, limit_bytes: int = 1000) -> None:
        self.budget = CacheBudget(limit_bytes)
        self.gone: list[int] = []

    def add(self, number: int) -> CachedPrefix:
        entry = CachedPrefix((number,), [], 10, lambda gone: self.gone.append(gone.tokens[0]))
        self.budget.add(entry)
        return entry


def test_a_hit_moves_an_entry_to_the_back() -> None:
    kept = Kept()
    first, second, _ = (kept.add(number) for number in (1, 2, 3))
    kept.budget.count_request(second)
    kept.budget.count_request(first)
    kept.budget.shrink(0)
    assert kept.gone == [3, 2, 1]
    assert kept.budget.used_bytes == 0


def test_the_limit_is_held_by_what_comes_in_and_by_a_new_limit() -> None:
    kept = Kept(limit_bytes=35)
    for number in range(5):
        kept.add(number)
    assert (kept.gone, kept.budget.used_bytes) == ([0, 1], 30)
    kept.budget.obey(10)
    assert (kept.gone, kept.budget.used_bytes) == ([0, 1, 2, 3], 10)
    kept.budget.obey(-1)
    assert kept.budget.used_bytes == 0


def test_any_number_of_single_answers_leaves_what_each_prompt_begins_with() -> None:
    kept = Kept(limit_bytes=30)
    system = kept.add(0)
    for number in range(1, 1000):
        kept.budget.count_request(system)
        for _ in range(3):
            kept.add(number)
    assert 0 not in kept.gone


def test_what_no_prompt_uses_any_more_goes_like_all_others() -> None:
    kept = Kept(limit_bytes=20)
    kept.budget.count_request(kept.add(0))
    for number in range(1, 2 * SHARED_REQUESTS):
        kept.budget.count_request(None)
        kept.add(number)
        assert (0 in kept.gone) == (number > SHARED_REQUESTS + 1)
