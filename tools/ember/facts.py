"""Simple facts: capitals, opposites, colours, days, animals, small sums. Knows nothing of conversations."""

import random
from dataclasses import dataclass

from .exchanges import Exchange, plain
from .phrases import expand, filled, vary

Pair = tuple[str, str]


def _pairs(text: str) -> tuple[Pair, ...]:
    """`France=Paris, Italy=Rome` as pairs."""
    return tuple((left.strip(), right.strip()) for left, right in (part.split("=") for part in text.split(",")))


def _following(words: str, steps: int) -> tuple[Pair, ...]:
    names = words.split()
    return tuple((name, names[(place + steps) % len(names)]) for place, name in enumerate(names))


CAPITALS = _pairs(
    "France=Paris, Germany=Berlin, Italy=Rome, Spain=Madrid, Portugal=Lisbon, England=London, Ireland=Dublin, "
    "Norway=Oslo, Sweden=Stockholm, Denmark=Copenhagen, Finland=Helsinki, Poland=Warsaw, Austria=Vienna, "
    "Greece=Athens, "
    "Hungary=Budapest, Belgium=Brussels, Switzerland=Bern, Russia=Moscow, Ukraine=Kyiv, Turkey=Ankara, Egypt=Cairo, "
    "Kenya=Nairobi, Japan=Tokyo, China=Beijing, India=New Delhi, Thailand=Bangkok, Canada=Ottawa, Mexico=Mexico City, "
    "Brazil=Brasilia, Peru=Lima, Chile=Santiago, Argentina=Buenos Aires, Cuba=Havana, Australia=Canberra, "
    "Scotland=Edinburgh, Iceland=Reykjavik, Romania=Bucharest, Croatia=Zagreb"
)
OPPOSITES = _pairs(
    "hot=cold, big=small, up=down, left=right, day=night, open=closed, fast=slow, old=young, good=bad, happy=sad, "
    "light=dark, wet=dry, full=empty, early=late, hard=soft, high=low, long=short, loud=quiet, rich=poor, strong=weak, "
    "thick=thin, true=false, warm=cool, first=last, front=back, "
    "inside=outside, begin=end, buy=sell, love=hate, win=lose"
)
COLOURS_OF = _pairs(
    "the sky=blue, grass=green, snow=white, blood=red, the sun=yellow, coal=black, a banana=yellow, a tomato=red, "
    "a carrot=orange, milk=white, chocolate=brown, an elephant=grey, a frog=green, gold=yellow, a strawberry=red, "
    "a leaf=green, the sea=blue, a lemon=yellow, fire=orange, ash=grey"
)
SOUNDS = _pairs("dog=barks, cat=meows, cow=moos, sheep=bleats, horse=neighs, duck=quacks, lion=roars, pig=grunts")
LEGS = _pairs("dog=four, cat=four, horse=four, bird=two, spider=eight, bee=six, cow=four, fish=no, snake=no, duck=two")
YOUNG = _pairs(
    "dog=puppy, cat=kitten, cow=calf, horse=foal, sheep=lamb, duck=duckling, lion=cub, hen=chick, pig=piglet"
)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
MONTHS = "January February March April May June July August September October November December"
COUNTS = _pairs(
    "days in a week=seven, months in a year=twelve, hours in a day=24, minutes in an hour=60, seconds in a minute=60, "
    "days in a year=365, letters in the alphabet=26, wheels on a car=four, "
    "wheels on a bicycle=two, fingers on a hand=five"
)
SUMS = tuple(
    (f"{a} {op} {b}", str(value))
    for a in range(11)
    for b in range(11)
    for op, value in (("+", a + b), ("-", a - b), ("*", a * b))
    if value >= 0
)
OPERATIONS = {"+": ("plus", "and"), "-": ("minus", "minus"), "*": ("times", "times")}


@dataclass(frozen=True, slots=True)
class Family:
    """Facts asked in the same words: `{x}` stands for the thing, `{y}` for what is true of it."""

    name: str
    patterns: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str
    pairs: tuple[Pair, ...]
    thought: str


FAMILIES = (
    Family(
        "capital",
        (
            "what is the capital [city] of {x}",
            "[tell me] the capital of {x}",
            "capital of {x}",
            "which city is the capital of {x}",
            "what is {x}'s capital",
        ),
        ("do you know the capital of {x}", "name the capital city of {x}"),
        "The capital of {x} is {y}.",
        CAPITALS,
        "A capital: {x} has {y}.",
    ),
    Family(
        "opposite",
        (
            "what is the opposite of {x}",
            "[tell me] the opposite of {x}",
            "opposite of {x}",
            "what is the contrary of {x}",
            "which word is the opposite of {x}",
        ),
        ("do you know the opposite of {x}", "name the opposite of {x}"),
        "The opposite of {x} is {y}.",
        OPPOSITES,
        "An opposite: {x} and {y}.",
    ),
    Family(
        "colour",
        ("(what|which) colo(u|)r (is|has) {x}", "what is the colo(u|)r of {x}", "[tell me] the colo(u|)r of {x}"),
        ("do you know what colour {x} has", "name the colour of {x}"),
        "The colour of {x} is {y}.",
        COLOURS_OF,
        "A colour: {x} is {y}.",
    ),
    Family(
        "sound",
        ("what does a {x} say", "(what|which) (sound|noise) does a {x} make", "how does a {x} (sound|speak)"),
        ("do you know what sound a {x} makes", "tell me the sound of a {x}"),
        "A {x} {y}.",
        SOUNDS,
        "A {x} {y}.",
    ),
    Family(
        "legs",
        (
            "how many legs (does|has) a {x} [have]",
            "[tell me] the number of legs of a {x}",
            "how many legs are on a {x}",
        ),
        ("do you know how many legs a {x} has",),
        "A {x} has {y} legs.",
        LEGS,
        "Legs: a {x} has {y}.",
    ),
    Family(
        "young",
        (
            "what is a (young|baby) {x} called",
            "what do you call a (young|baby) {x}",
            "what is the name of a (young|baby) {x}",
        ),
        ("do you know what a baby {x} is called",),
        "A young {x} is called a {y}.",
        YOUNG,
        "A young {x} is a {y}.",
    ),
    Family(
        "day after",
        ("(what|which) day (comes|is) after {x}", "what is the day after {x}", "(what|which) day follows {x}"),
        ("tell me the day after {x}",),
        "After {x} comes {y}.",
        _following(DAYS, 1),
        "After {x} comes {y}.",
    ),
    Family(
        "day before",
        ("(what|which) day (comes|is) before {x}", "what is the day before {x}"),
        ("tell me the day before {x}",),
        "Before {x} comes {y}.",
        _following(DAYS, -1),
        "Before {x} comes {y}.",
    ),
    Family(
        "month after",
        ("(what|which) month (comes|is) after {x}", "what is the month after {x}", "(what|which) month follows {x}"),
        ("tell me the month after {x}",),
        "After {x} comes {y}.",
        _following(MONTHS, 1),
        "After {x} comes {y}.",
    ),
    Family(
        "month before",
        ("(what|which) month (comes|is) before {x}", "what is the month before {x}"),
        ("tell me the month before {x}",),
        "Before {x} comes {y}.",
        _following(MONTHS, -1),
        "Before {x} comes {y}.",
    ),
    Family(
        "count",
        ("how many {x} [are there]", "what is the number of {x}", "tell me how many {x}"),
        ("do you know how many {x} there are",),
        "There are {y} {x}.",
        COUNTS,
        "A number: {y} {x}.",
    ),
)
SUM = Family(
    "sum",
    ("what is {x}", "how much is {x}", "{x}", "{x} =", "(calculate|compute|solve) {x}", "what does {x} make"),
    ("do you know what {x} is", "tell me {x}", "what do you get for {x}"),
    "{x} = {y}",
    SUMS,
    "A small sum: {x} = {y}.",
)


def fact(rng: random.Random, held_out: bool = False) -> Exchange:
    """A question about one fact; capitals are asked more often because there are many of them."""
    return _asked(rng.choice((FAMILIES[0], *FAMILIES)), rng, held_out)


def small_sum(rng: random.Random, held_out: bool = False) -> Exchange:
    """A sum, a difference or a product of small numbers."""
    return _asked(SUM, rng, held_out)


def _asked(family: Family, rng: random.Random, held_out: bool) -> Exchange:
    x, y = rng.choice(family.pairs)
    pattern = rng.choice(family.held_out if held_out else family.patterns)
    asked = _in_words(x, rng) if family is SUM else _as_typed(x, rng)
    question = vary(filled(expand(pattern, rng), x=asked), rng)
    return plain(question, filled(family.answer, x=x, y=y), filled(family.thought, x=x, y=y))


def _in_words(x: str, rng: random.Random) -> str:
    a, op, b = x.split()
    symbol = rng.choice((op, op, *OPERATIONS[op], "x" if op == "*" else op))
    return f"{a}{symbol}{b}" if len(symbol) == 1 and rng.random() < 0.4 else f"{a} {symbol} {b}"


def _as_typed(x: str, rng: random.Random) -> str:
    return x.lower() if rng.random() < 0.2 else x
