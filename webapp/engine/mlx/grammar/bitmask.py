"""The set of tokens that may come next: one bit per token, in 32-bit words as llguidance packs them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WORD_BITS = 32
EVERYTHING = -1

Words = NDArray[np.int32]


def nothing(vocabulary_size: int) -> Words:
    return np.zeros(-(-vocabulary_size // WORD_BITS), dtype=np.int32)


def allow(words: Words, token: int) -> None:
    words.view(np.uint32)[token // WORD_BITS] |= _bit(token)


def forbid(words: Words, token: int) -> None:
    words.view(np.uint32)[token // WORD_BITS] &= ~_bit(token)


def _bit(token: int) -> np.uint32:
    return np.uint32(1 << token % WORD_BITS)
