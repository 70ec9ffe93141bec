"""Simple facts: capitals, opposites, colours, days, animals. Knows nothing of conversations."""

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
    "Greece=Athens, Hungary=Budapest, Belgium=Brussels, Switzerland=Bern, Russia=Moscow, Turkey=Ankara, Egypt=Cairo, "
    "Kenya=Nairobi, Japan=Tokyo, China=Beijing, India=New Delhi, Canada=Ottawa, Peru=Lima, Cuba=Havana, "
    "Australia=Canberra"
)
OPPOSITES = _pairs(
    "hot=cold, big=small, up=down, left=right, day=night, open=closed, fast=slow, old=young, good=bad, happy=sad, "
    "light=dark, wet=dry, full=empty, early=late, hard=soft, high=low, long=short, loud=quiet, rich=poor, "
    "strong=weak, thick=thin, true=false, first=last, inside=outside"
)
COLOURS_OF = _pairs(
    "the sky=blue, grass=green, snow=white, blood=red, the sun=yellow, coal=black, a banana=yellow, a tomato=red, "
    "a carrot=orange, milk=white, chocolate=brown, an elephant=grey, a frog=green, a lemon=yellow"
)
SOUNDS = _pairs("dog=barks, cat=meows, cow=moos, sheep=bleats, horse=neighs, duck=quacks, lion=roars, pig=grunts")
LEGS = _pairs("dog=four, cat=four, horse=four, bird=two, spider=eight, bee=six, cow=four, duck=two")
YOUNG = _pairs("dog=puppy, cat=kitten, cow=calf, horse=foal, sheep=lamb, duck=duckling, lion=cub, hen=chick")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
MONTHS = "January February March April May June July August September October November December"
COUNTS = _pairs(
    "days in a week=seven, months in a year=twelve, hours in a day=24, minutes in an hour=60, seconds in a minute=60, "
    "days in a year=365, letters in the alphabet=26, fingers on a hand=five"
)


@dataclass(frozen=True, slots=True)
class Family:
    """Facts asked in the same words: `{x}` stands for the thing, `{y}` for what is true of it."""

    name: str
    patterns: tuple[str, ...]
    indirect: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str
    pairs: tuple[Pair, ...]
    thought: str


FAMILIES = (
    Family(
        "capital",
        (
            "(what is|what's) the capital [city] of {x}",
            "(which|what) (city|town) is the capital of {x}",
            "(what is|say) {x}'s capital",
            "which capital does {x} have",
            "where is the (government|capital) of {x}",
            "{x}, (what is|and) its capital",
            "{x} and its capital",
            "{x} capital [city]",
            "capital [city] {x}",
            "{x}: (capital|the capital|which capital)",
            "(which|what) city (governs|rules|leads) {x}",
        ),
        ("the capital [city] of {x}", "{x}'s capital", "what the capital of {x} is", "for {x} the capital"),
        ("do you know the capital of {x}", "name the capital city of {x}", "{x} has which capital"),
        "The capital of {x} is {y}.",
        CAPITALS,
        "A capital: {x} has {y}.",
    ),
    Family(
        "opposite",
        (
            "(what is|what's) the (opposite|contrary) of {x}",
            "(which|what) word is the opposite of {x}",
            "what is the word opposite to {x}",
            "what is not {x} but the opposite",
            "{x} and its (opposite|contrary)",
            "{x}, what is the opposite",
            "{x} (opposite|antonym|contrary)",
            "(opposite|antonym|contrary) {x}",
            "{x}: (opposite|the opposite|which opposite)",
            "what is (contrary|opposed|opposite) to {x}",
        ),
        ("the (opposite|contrary) of {x}", "what the opposite of {x} is", "for {x} the opposite"),
        ("do you know the opposite of {x}", "name the opposite of {x}", "{x} has which opposite"),
        "The opposite of {x} is {y}.",
        OPPOSITES,
        "An opposite: {x} and {y}.",
    ),
    Family(
        "colour",
        (
            "(what|which) colo(u|)r (is|has|does) {x}",
            "what is the colo(u|)r of {x}",
            "(what|which) colo(u|)r does {x} have",
            "in which colo(u|)r is {x}",
            "{x} and its colo(u|)r",
            "{x}, which colo(u|)r is (it|that)",
            "{x} colo(u|)r",
            "colo(u|)r {x}",
            "{x}: (colo(u|)r|the colo(u|)r|which colo(u|)r)",
            "(how|in what colo(u|)r) (would|do) you paint {x}",
        ),
        ("the colo(u|)r of {x}", "which colo(u|)r {x} is"),
        ("do you know what colour {x} has", "name the colour of {x}", "{x} is of which colour"),
        "The colour of {x} is {y}.",
        COLOURS_OF,
        "A colour: {x} is {y}.",
    ),
    Family(
        "sound",
        (
            "what does a {x} (say|do)",
            "(what|which) (sound|noise) does a {x} make",
            "how does a {x} (sound|speak)",
            "what is the (sound|noise) of a {x}",
        ),
        ("the (sound|noise) a {x} makes", "what a {x} says", "what sound a {x} makes"),
        ("do you know what sound a {x} makes", "name the sound of a {x}"),
        "A {x} {y}.",
        SOUNDS,
        "A {x} {y}.",
    ),
    Family(
        "legs",
        (
            "how many legs (does|has) a {x} [have]",
            "how many legs are (on|under) a {x}",
            "what is the number of legs of a {x}",
            "(on|with) how many legs does a {x} (walk|stand|go)",
        ),
        ("the number of legs of a {x}", "how many legs a {x} has", "the legs of a {x}"),
        ("do you know how many legs a {x} has", "name the number of legs of a {x}"),
        "A {x} has {y} legs.",
        LEGS,
        "Legs: a {x} has {y}.",
    ),
    Family(
        "young",
        (
            "what is a (young|baby|little) {x} called",
            "what do you call a (young|baby|little) {x}",
            "what is the (name|word) (of|for) a (young|baby|little) {x}",
            "how is a (young|baby|little) {x} called",
        ),
        ("the (name|word) (of|for) a (young|baby|little) {x}", "what a (young|baby|little) {x} is called"),
        ("do you know what a baby {x} is called", "name the word for a young {x}"),
        "A young {x} is called a {y}.",
        YOUNG,
        "A young {x} is a {y}.",
    ),
    Family(
        "day after",
        (
            "(what|which) (day|weekday) (comes|is|follows) after {x}",
            "what is the (day|weekday) after {x}",
            "(what|which) day follows {x}",
            "what comes after {x}",
        ),
        ("the day after {x}", "the day that follows {x}", "which day comes after {x}"),
        ("do you know the day after {x}", "name the day that comes after {x}"),
        "After {x} comes {y}.",
        _following(DAYS, 1),
        "After {x} comes {y}.",
    ),
    Family(
        "month after",
        (
            "(what|which) month (comes|is|follows) after {x}",
            "what is the month after {x}",
            "(what|which) month follows {x}",
            "what comes after {x}",
        ),
        ("the month after {x}", "the month that follows {x}", "which month comes after {x}"),
        ("do you know the month after {x}", "name the month that comes after {x}"),
        "After {x} comes {y}.",
        _following(MONTHS, 1),
        "After {x} comes {y}.",
    ),
    Family(
        "count",
        (
            "how many {x} [are there]",
            "what is the number of {x}",
            "how many are the {x}",
        ),
        ("how many {x} [there are]", "the number of {x}"),
        ("do you know how many {x} there are", "name the number of {x}"),
        "There are {y} {x}.",
        COUNTS,
        "A number: {y} {x}.",
    ),
)
# How the second kind of patterns is asked for.
INDIRECT = (
    "{x}",
    "{x} please",
    "(tell me|say|give me|what about|write|explain|please tell me) {x}",
    "(can|could|will) you (tell me|say|give me) {x}",
    "(i want|i need|i would like) to (know|hear|learn) {x}",
    "i (do not know|forgot) {x}",
    "(let me know|show me|find|answer|say me) {x}",
    "(a question|question|quiz): {x}",
    "(do you remember|have you heard) {x}",
)


def fact(rng: random.Random, held_out: bool = False) -> Exchange:
    """A question about one fact; families with many facts are asked more often."""
    return _asked(rng.choice((FAMILIES[0], *FAMILIES[:3], *FAMILIES)), rng, held_out)


def _asked(family: Family, rng: random.Random, held_out: bool) -> Exchange:
    x, y = rng.choice(family.pairs)
    question = vary(filled(expand(_pattern(family, rng, held_out), rng), x=_as_typed(x, rng)), rng)
    return plain(question, filled(family.answer, x=x, y=y), filled(family.thought, x=x, y=y))


def _pattern(family: Family, rng: random.Random, held_out: bool) -> str:
    if held_out:
        return rng.choice(family.held_out)
    if rng.random() < 0.5:
        return rng.choice(family.patterns)
    return filled(rng.choice(INDIRECT), x=rng.choice(family.indirect))


def _as_typed(x: str, rng: random.Random) -> str:
    return x.lower() if rng.random() < 0.2 else x
