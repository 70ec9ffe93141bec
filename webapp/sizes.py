"""Amounts of memory and disk as people read them."""


def size(amount_bytes: float) -> str:
    """An amount as text with one decimal: GB, or MB or kB where it would otherwise read 0.0."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if amount_bytes >= scale / 10:
            return f"{amount_bytes / scale:,.1f} {unit}"
    return f"{amount_bytes / 1e3:.0f} kB"
