"""Questions as people in a hurry type them: words that say nothing around them, a word too few, a slip of the keys.

Only for training. Knows nothing of topics.
"""

import random

from .words import Words

LEADS = (
    "quick question, ",
    "sorry, ",
    "excuse me, ",
    "i am new here, ",
    "well, ",
    "one more thing, ",
    "also, ",
    "now ",
    "then ",
    "but ",
    "listen, ",
    "thanks, ",
    "thank you, and ",
    "great, ",
    "i wonder, ",
    "question: ",
    "by the way, ",
    "actually, ",
    "hmm, ",
    "just curious, ",
    "for my work, ",
    "dear ember, ",
    "hi there, ",
    "help me, ",
    "my friend asks, ",
    "yes, ",
    "no, ",
    "all right, ",
    "oh, ",
    "next, ",
    "please tell me, ",
    "i am stuck, ",
    "i have a problem, ",
    "no idea, ",
    "i need to know, ",
)
TRAILS = (
    " please",
    ", please",
    ", thanks",
    ", thank you",
    ", any idea",
    " then",
    " exactly",
    " right now",
    " today",
    ", do you know",
    ", i wonder",
    ", can you help",
    ", can you tell me",
    " in general",
    ", ember",
    " here",
    " at all",
    ", i forgot",
    ", i mean",
    " actually",
    " for me",
    " in hearth",
    ", help",
    " again",
    ", if i may ask",
    ", i need it",
    " or not",
    ", you know",
)


def surrounded(question: str, rng: random.Random) -> str:
    """Sometimes with other words before or behind."""
    return opened(question, rng) + (rng.choice(TRAILS) if rng.random() < 0.15 else "")


def opened(question: str, rng: random.Random) -> str:
    """Sometimes with other words before."""
    return (rng.choice(LEADS) if rng.random() < 0.15 else "") + question


def blurred(question: str, words: Words) -> str:
    """Now and then a word is missing, strange or mistyped, so that no single word is all that a topic is known by."""
    parts, rng = question.split(), words.rng
    if len(parts) > 4 and rng.random() < 0.35:
        place = rng.randrange(len(parts))
        parts[place : place + 1] = rng.choice(
            ([], [words.some(1, 1)], [_mistyped(parts[place], rng)], [parts[place], words.some(1, 1)])
        )
    return " ".join(parts)


def _mistyped(word: str, rng: random.Random) -> str:
    """Two letters change places, or one is missing."""
    if len(word) < 4:
        return word
    place = rng.randrange(len(word) - 1)
    swapped = word[place + 1] + word[place] if rng.random() < 0.5 else word[place]
    return word[:place] + swapped + word[place + 2 :]
