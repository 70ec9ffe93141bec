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
# Ways to ask about a thing, and how to do something; what is kept for the evaluation is asked in other words, too.
ABOUT = (
    "{x}",
    "{x} please",
    "what about {x}",
    "tell me [something|more] about {x}",
    "(explain|describe) {x} [to me]",
    "(can|could) you explain {x} [to me]",
    "(i want|i need|i would like) to (know|understand|learn) [something|more] about {x}",
    "what do you know about {x}",
    "what should i know about {x}",
    "(help|help me|i need help) with {x}",
    "(how does|how do) {x} work",
    "(a word|some words|information|more) (about|on) {x}",
    "what can you tell me about {x}",
    "i do not understand {x}",
    "(what is|what are) {x}",
    "(i never|never|we never|nobody ever) (understood|heard of|got|used) {x}",
    "{x}: (how|what|what is it|how does it work|any hints|details please)",
    "{x}, (how does that work|what is it|what is that for|i want to know more|what should i know|how come)",
    "(is there|do you have) (anything|something|a page|a text|some help) (about|on) {x}",
    "(give me|i am looking for|i look for|where are) "
    "(details|hints|the details|some information|documentation) (on|about) {x}",
    "(what does|what do) {x} do",
    "(how is it|what is the situation|what is it|what is new|how are things) with {x}",
    "i (wonder|am curious|am confused|was wondering|am asking|am unsure) about {x}",
    "(clarify|outline|summarise|sum up|define|introduce|discuss) {x} [for me|in short|briefly]",
    "(let us|can we|shall we|may we) (talk|speak) about {x}",
    "(somebody|someone|a friend|my boss) (mentioned|told me about|spoke of|asked me about) {x}",
    "what (exactly|really|precisely) (is|are) {x}",
    "(in short|shortly|briefly|in simple words), [what is|what are] {x}",
    "(any|is there any) (news|information|help|advice) (on|about) {x}",
    "(how|what) about {x} then",
)
DOING = (
    "how (do|can|could|would|should|may|must) i {x}",
    "how (does one|do you|do we|can one) {x}",
    "how to {x}",
    "(i want|i need|i would like|i have|i am trying|i wish) to {x}",
    "(can|could|may|should|must) i {x} [here|somehow]",
    "where (do|can|could|would) i {x}",
    "what (do i|must i|should i|can i|do i have to|do i need to) do to {x}",
    "(show me|tell me|explain|explain to me|do you know) how to {x}",
    "(can|could) you (tell me|show me|explain) how (to|i can) {x}",
    "(please|help me|let me) {x}",
    "{x}",
    "(is there a way|the way|a way|the steps|steps|instructions) to {x}",
    "what is the (best|easiest|right|quickest) way to {x}",
    "i do not know how to {x}",
    "(am i able|are we able) to {x}",
    "how (might|shall|will) (i|we|one) {x}",
    "how (am i|is one|are we|are people) supposed to {x}",
    "how (hard|easy|difficult) is it to {x}",
    "(somebody|someone|my boss|a friend|my colleague) (wants|asked me|told me|needs) to {x}",
    "(what|which) (steps|things) (are needed|do i take|are necessary|are required) to {x}",
    "(i need|i am looking for|give me|where is) (help|instructions|a hint|guidance|advice) to {x}",
    "(any|is there any|do you have an) (idea|hint|trick|tip|advice) (how to|on how to) {x}",
    "(trying|attempting|planning|hoping|about) to {x}[, any idea|, what now|, help]",
    "{x}, (how|how is that done|how do i do that|can i do that|is that possible|what do i do|where)",
    "(i cannot|i can not|i can't|i am unable to|i fail to|i did not manage to) {x}",
    "(i tried|we tried|i am going|i have decided|i plan) to {x} [but failed|, what is next|, how]",
    "does (hearth|it|this) let (me|one|people|us) {x}",
    "(what is|where is) the (button|option|setting|trick|menu|procedure) to {x}",
    "(remind me|advise me|tell us|let me know) how to {x}",
    "i (must|really have to|have got to|want you to help me|will have to|might) {x}",
    "(who|what) (can help|helps|lets|allows) me [to] {x}",
    "(a guide|a howto|a manual|help) (on how to|to) {x}",
    "(we|my team|my friend and i) (want|need|have|would like) to {x}",
    "(would|will) (hearth|it|you|this) (allow me to|let me|help me) {x}",
    "(which|what) (button|page|command) (do i need|is there|do i use) to {x}",
    "what if i (want|need|would like) to {x}",
)
INNERMOST = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions that share one answer; `held_out` phrasings are never trained on."""

    name: str
    label: str
    patterns: tuple[str, ...]
    things: tuple[str, ...]
    actions: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str

    def question(self, rng: random.Random) -> str:
        """A phrasing to train on: one of the topic's own, or one of the frames filled."""
        kinds = [(self.patterns, ("{x}",), 5), (self.things, ABOUT, 2), (self.actions, DOING, 4)]
        texts, frames, _ = rng.choices(kinds, [weight if texts else 0 for texts, _, weight in kinds])[0]
        return expand(rng.choice(frames).replace("{x}", rng.choice(texts)), rng)


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
    return Topic(name, label, *(_marked(lines[:start], mark) for mark in ("? ", ": ", "> ", "! ")), answer)


def _marked(lines: Sequence[str], mark: str) -> tuple[str, ...]:
    return tuple(line.removeprefix(mark) for line in lines if line.startswith(mark))


def filled(text: str, **values: str) -> str:
    """The text with each `{slot}` replaced; unlike str.format it leaves other braces alone."""
    for slot, value in values.items():
        text = text.replace("{" + slot + "}", value)
    return text
