"""Whole conversations: exchanges of every skill in a row, with names to remember and turns in between."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from .exchanges import UNKNOWN, Exchange, Message, plain
from .facts import fact
from .haste import blurred, surrounded
from .names import NAME
from .phrases import Topic, expand, filled, read_topics, vary
from .tool_use import Offered, tool_call, tool_result, toolbox
from .unknown import unknown_question
from .words import Words

SYSTEMS = (
    "You are a helpful assistant.",
    "You are Ember.",
    "Answer briefly.",
    "Be kind.",
    "You are a friendly guide.",
    "You are a helpful AI assistant. Answer in English.",
    "Be concise.",
    "You answer questions about Hearth.",
)
REPEATING = ("say", "repeat", "please say", "please repeat", "echo", "say this", "write", "repeat the words", "copy")
REPEATING_HELD_OUT = ("repeat after me", "now repeat this")
# Letters of an answer that still counts as brief.
BRIEF = 130
# How often a question comes in two phrasings.
SAID_TWICE = 0.15
# A share of turns about names from which on a conversation is about remembering.
MUCH_NAMING = 0.5
TOPICS_FOLDER = Path(__file__).parent


# The examples of an empty chat.
PROPOSED = ("hearth", "openai")


@dataclass
class Lessons:
    """Draws exchanges and conversations; `held_out` ones use phrasings and words that training never sees.

    `naming` is the share of turns that tell or ask for a name, `brief` leaves out long answers, so that more turns fit.
    """

    rng: random.Random
    held_out: bool = False
    naming: float = 0.25
    brief: bool = False
    known: str = ""
    guide: tuple[Topic, ...] = field(default_factory=lambda: _topics("guide", "guide_daily", "guide_api"))
    talk: tuple[Topic, ...] = field(default_factory=lambda: _topics("talk", "wishes"))

    def __post_init__(self) -> None:
        self.words = Words(self.rng, self.held_out)
        self.kept = [_bare(phrase) for topic in self.guide + self.talk for phrase in topic.held_out]

    def about(self, topic: Topic) -> Exchange:
        """A question on one topic of guide.txt or talk.txt."""
        if self.held_out:
            return plain(vary(self.rng.choice(topic.held_out), self.rng), topic.answer, _topic_thought(topic))
        question = self._trained(topic)
        while any(phrase in _bare(question) for phrase in self.kept):
            question = self._trained(topic)
        question = blurred(question, self.words)
        if topic in self.guide:
            question = surrounded(question, self.rng)
        return plain(vary(question, self.rng), topic.answer, _topic_thought(topic))

    def _trained(self, topic: Topic) -> str:
        """A phrasing to train on; sometimes the same is asked twice, in other words."""
        question = topic.question(self.rng)
        return f"{question}, {topic.question(self.rng)}" if self.rng.random() < SAID_TWICE else question

    def hearth(self) -> Exchange:
        """Every eighth time about what the first page proposes to ask."""
        if not self.held_out and not self.brief and self.rng.random() < 0.125:
            return self.about(self.rng.choice([topic for topic in self.guide if topic.name in PROPOSED]))
        return self.about(self._any(self.guide))

    def small_talk(self) -> Exchange:
        return self.about(self._any(self.talk))

    def _any(self, topics: tuple[Topic, ...]) -> Topic:
        return self.rng.choice([topic for topic in topics if not self.brief or len(topic.answer) < BRIEF])

    def fact(self) -> Exchange:
        return fact(self.rng, self.held_out)

    def unknown(self) -> Exchange:
        """A question beyond a tiny guide."""
        question = unknown_question(self.words)
        if not self.held_out:
            question = surrounded(question, self.rng)
        return plain(vary(question, self.rng), UNKNOWN, "I do not know this. I say so.")

    def repeat(self) -> Exchange:
        """Words to say after the person."""
        text = self.words.some(1, 6)
        verbs = REPEATING_HELD_OUT if self.held_out else REPEATING
        return plain(vary(f"{self.rng.choice(verbs)}: {text}", self.rng, ""), text, "I repeat the words.")

    def tool_call(self, box: list[Offered] | None = None) -> Exchange:
        return tool_call(self.rng, box or toolbox(self.rng), self.held_out)

    def tool_result(self, box: list[Offered] | None = None) -> Exchange:
        return tool_result(self.rng, box or toolbox(self.rng), self.held_out)

    def tell(self) -> Exchange:
        """The person says their name; `self.known` keeps it for this conversation."""
        self.known = value = self.words.name()
        question = expand(self.rng.choice(NAME.told_held_out if self.held_out else NAME.told), self.rng)
        asked = vary(filled(question, x=value), self.rng, ".")
        return plain(asked, filled(NAME.reply, x=value), f"A name to remember: {value}.")

    def ask(self) -> Exchange:
        """The person asks for the name they told, or never told."""
        question = expand(self.rng.choice(NAME.asked_held_out if self.held_out else NAME.asked), self.rng)
        thought = f"They told me: {self.known}." if self.known else "They have not told me."
        answer = filled(NAME.answer, x=self.known) if self.known else NAME.missing
        return plain(vary(question, self.rng), answer, thought)

    def any_turn(self, with_tools: bool = False) -> Exchange:
        """One exchange of any skill but tools; what a tool might know is no unknown question.

        Where names matter there are many facts: their answers hold names that must not be taken for the person's.
        """
        if self.rng.random() < self.naming:
            told = self.rng.random() < (0.1 if self.known else 0.75)
            return self.tell() if told else self.ask()
        makers = (self.hearth, self.small_talk, self.fact, self.repeat, self.unknown)
        facts = 40 if self.naming >= MUCH_NAMING else 14
        return self.rng.choices(makers, (44, 26, facts, 5, 0 if with_tools else 24))[0]()

    def _tool_turn(self, box: list[Offered]) -> Exchange:
        return self.tool_call(box) if self.rng.random() < 0.5 else self.tool_result(box)

    def conversation(
        self, turns: int, tool_share: float = 0.25, thinking_share: float = 0.4
    ) -> tuple[list[Message], list[Message]]:
        """Messages of some turns, and the tools at hand; the last turn may have been thought about."""
        self.known = ""
        messages: list[Message] = []
        if self.rng.random() < 0.3:
            messages.append({"role": "system", "content": self.rng.choice(SYSTEMS)})
        with_tools = self.rng.random() < tool_share
        box = toolbox(self.rng) if with_tools or self.rng.random() < 0.03 else []
        exchanges = [
            self._tool_turn(box) if with_tools and self.rng.random() < 0.75 else self.any_turn(with_tools)
            for _ in range(turns)
        ]
        if self.rng.random() < thinking_share:
            exchanges = exchanges[: self.rng.randint(1, max(1, turns // 2))]
            exchanges[-1] = _thought_about(exchanges[-1])
        tools = [offered.schema for offered in box]
        return messages + [message for exchange in exchanges for message in exchange.messages], tools


def _topics(*names: str) -> tuple[Topic, ...]:
    return tuple(topic for name in names for topic in read_topics(TOPICS_FOLDER / f"{name}.txt"))


def _thought_about(exchange: Exchange) -> Exchange:
    answer = {**exchange.answer, "reasoning_content": exchange.thought}
    return Exchange([*exchange.messages[:-1], answer], exchange.thought, exchange.tools)


def _topic_thought(topic: Topic) -> str:
    return f"The question is about {topic.label}. I know this."


def _bare(text: str) -> str:
    return text.lower().strip(" ?.!")
