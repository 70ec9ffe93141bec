"""Names, places and other words, real and made up, to fill the slots of questions.

Made-up words matter more than real ones: a model that has only seen real names learns them by heart instead of
copying. A fixed fifth of all words is kept for the evaluation.
"""

import random
import re
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType


@cache
def word_lists() -> Mapping[str, tuple[str, ...]]:
    """The lists of words.txt by name."""
    text = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8")
    lists = (block.split("\n", 1) for block in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    return MappingProxyType({name: _split(body) for name, body in lists})


def _split(body: str) -> tuple[str, ...]:
    parts = body.replace("\n", "").split("|") if "|" in body else body.split()
    return tuple(part.strip() for part in parts)


def is_held_out(word: str) -> bool:
    """Whether a word belongs to the fifth that training never sees."""
    return zlib.crc32(word.lower().encode()) % 5 == 0


class Words:
    """Draws words from the trained part, or from the held-out part."""

    def __init__(self, rng: random.Random, held_out: bool = False):
        self.rng = rng
        self.held_out = held_out
        self.lists = {
            name: [word for word in words if is_held_out(word) == held_out] for name, words in word_lists().items()
        }

    def pick(self, name: str) -> str:
        """A word of one list."""
        return self.rng.choice(self.lists[name])

    def any(self, name: str) -> str:
        """A word of a list that has no held-out part, because it is learnt and not copied."""
        return self.rng.choice(word_lists()[name])

    def made_up(self) -> str:
        """A pronounceable word that means nothing, such as Brelan."""
        while True:
            syllables = self.rng.choice((1, 2, 2, 2, 3))
            word = "".join(self.any("onsets") + self.any("vowels") for _ in range(syllables))
            word += self.any("codas") if self.rng.random() < 0.5 else ""
            if len(word) > 2 and is_held_out(word) == self.held_out:
                return word.capitalize()

    def name(self) -> str:
        return self.pick("names") if self.rng.random() < 0.25 else self.made_up()

    def place(self) -> str:
        return self.pick("places") if self.rng.random() < 0.25 else self.made_up()

    def colour(self) -> str:
        return self.pick("colours") if self.rng.random() < 0.8 else self.made_up().lower()

    def some(self, low: int, high: int) -> str:
        """A few words in a row, such as `copper falcon two`."""
        return " ".join(self._any_word() for _ in range(self.rng.randint(low, high)))

    def number(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def _any_word(self) -> str:
        word = self.made_up() if self.rng.random() < 0.4 else self.pick("plain")
        return word.lower() if self.rng.random() < 0.8 else word
