from __future__ import annotations

import pytest

from webapp.sizes import size


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "0 kB"), (12_000, "12 kB"), (6_300_000, "6.3 MB"), (99_000_000, "99.0 MB"), (2_260_000_000, "2.3 GB")],
)
def test_sizes(amount: int, said: str) -> None:
    assert size(amount) == said
