"""Small grammars: a pattern such as `how (do|can) i [please] stop` stands for many phrasings.

Knows nothing of topics, tokens or models.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# "" is there several times: most questions come without an opening.
OPENINGS = (
    "",
    "",
    "",
    "",
    "",
    "",
    "hi, ",
    "hey, ",
    "please, ",
    "ok, ",
    "and ",
    "so ",
    "ember, ",
    "tell me, ",
    "hello, ",
)
INNERMOST = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions that share one answer; `held_out` phrasings are never trained on."""

    name: str
    label: str
    patterns: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str


def expand(pattern: str, rng: random.Random) -> str:
    """One phrasing of a pattern: choices taken, brackets kept or dropped."""
    while found := INNERMOST.search(pattern):
        choice, option = found.groups()
        if choice is not None:
            word = rng.choice(choice.split("|"))
        else:
            word = rng.choice(option.split("|")) if rng.random() < 0.5 else ""
        pattern = pattern[: found.start()] + word + pattern[found.end() :]
    return " ".join(pattern.split())


def vary(question: str, rng: random.Random, mark: str = "?") -> str:
    """The same question as people type it: with an opening, a capital, an end mark, or without."""
    text = rng.choice(OPENINGS) + question
    if rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    text = re.sub(r"\bhearth\b", "Hearth", text) if rng.random() < 0.7 else text
    text = re.sub(r"\bi\b", "I", text) if rng.random() < 0.6 else text
    return text + (mark if rng.random() < 0.7 else "")


def read_topics(path: Path) -> tuple[Topic, ...]:
    """Topics from a text file in the form that guide.txt explains at its top."""
    blocks = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return tuple(_read_topic(block) for block in blocks)


def _read_topic(block: str) -> Topic:
    head, *lines = block.splitlines()
    name, label = (part.strip() for part in head.split("|"))
    start = next(number for number, line in enumerate(lines) if line.startswith("= "))
    answer = "\n".join([lines[start][2:], *lines[start + 1 :]]).strip()
    return Topic(name, label, _marked(lines[:start], "? "), _marked(lines[:start], "! "), answer)


def _marked(lines: Sequence[str], mark: str) -> tuple[str, ...]:
    return tuple(line.removeprefix(mark) for line in lines if line.startswith(mark))


def filled(text: str, **values: str) -> str:
    """The text with each `{slot}` replaced; unlike str.format it leaves other braces alone."""
    for slot, value in values.items():
        text = text.replace("{" + slot + "}", value)
    return text
