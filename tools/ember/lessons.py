"""Whole conversations: exchanges of every skill in a row, with names to remember and turns in between."""

import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .exchanges import UNKNOWN, Exchange, Message, plain
from .facts import fact, small_sum
from .phrases import Topic, expand, filled, read_topics, vary
from .tool_use import offer, tool_call, tool_result
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
UNKNOWN_PATTERNS = (
    "(what is|explain|tell me about|describe|what do you know about) {thing}",
    "(who invented|who discovered|who wrote about) {thing}",
    "(how does|how do|why does|why do) {thing} work",
    "what do you think (of|about) {thing}",
    "how (do|can) i (make|repair|buy|sell|cook|draw) {thing}",
    "write (an essay|a report|a speech|a text|some words) about {thing}",
    "(summarise|summarize|review|compare) {thing}",
    "who is [the] {name}",
    "(where|when) was {name} born",
    "what did {name} do",
    "who (won|lost) [the] {name} (cup|prize|war)",
    "what is the capital of {name}",
    "what is [a] {word}",
    "what does {word} mean",
    "how (tall|old|far|heavy|deep) is {name}",
    "what is the (population|history|language|currency) of {name}",
    "when did {thing} (begin|end|start)",
    "(can|could) you (write|fix|check|read|draw) {thing}",
    "plan a (trip|visit|holiday) to {name}",
    "is {thing} (good|bad|dangerous|better than {word})",
    "give me (a recipe|advice|ideas|a plan) for {thing}",
    "should i (buy|learn|visit|eat|sell) {thing}",
    "{word} {thing} {word}",
    "how many {thing} are there",
    "why (is|are) {thing} so (expensive|old|important|small|big)",
)
UNKNOWN_HELD_OUT = (
    "can you teach me {thing}",
    "what happened to {name} in the war",
    "I have a question about {thing}",
    "what can you say about {thing}",
    "who is the best at {thing}",
    "what is the meaning of {word}",
)
TOPICS_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Remembered:
    """Something a person says about themselves, and asks for later."""

    name: str
    told: tuple[str, ...]
    told_held_out: tuple[str, ...]
    reply: str
    asked: tuple[str, ...]
    asked_held_out: tuple[str, ...]
    answer: str
    missing: str


REMEMBERED = (
    Remembered(
        "name",
        (
            "my name is {x}",
            "i am {x}",
            "call me {x}",
            "i am called {x}",
            "my name's {x}",
            "{x} is my name",
            "this is {x}",
        ),
        ("people call me {x}", "the name is {x}"),
        "Nice to meet you, {x}.",
        (
            "what is my name",
            "(do you remember|do you know|tell me) my name",
            "who am i",
            "what am i called",
            "what's my name",
            "say my name",
            "(can you remember|which is) my name",
        ),
        ("do you still know what my name is", "what name did I tell you"),
        "Your name is {x}.",
        "You have not told me your name yet.",
    ),
    Remembered(
        "colour",
        (
            "my favo(u|)rite colo(u|)r is {x}",
            "i like {x} best",
            "{x} is my favo(u|)rite colo(u|)r",
            "the colo(u|)r i like [most] is {x}",
        ),
        ("of all colours I like {x} best",),
        "I will remember that you like {x}.",
        (
            "what is my favo(u|)rite colo(u|)r",
            "which colo(u|)r do i like [best|most]",
            "(do you remember|tell me) my favo(u|)rite colo(u|)r",
        ),
        ("do you still know what colour I like",),
        "Your favourite colour is {x}.",
        "You have not told me your favourite colour yet.",
    ),
    Remembered(
        "town",
        ("i live in {x}", "my home is in {x}", "i am from {x}", "i come from {x}"),
        ("the town I live in is {x}",),
        "I will remember that you live in {x}.",
        (
            "where do i live",
            "(which town|which city|what city) do i live in",
            "where am i from",
            "(do you remember|tell me) where i live",
        ),
        ("do you still know where I live",),
        "You live in {x}.",
        "You have not told me where you live yet.",
    ),
    Remembered(
        "pet",
        ("my {animal} is called {x}", "i have a {animal} called {x}", "the name of my {animal} is {x}"),
        ("I have a {animal}, its name is {x}",),
        "What a good name for a {animal}: {x}.",
        (
            "what is my {animal} called",
            "what is the name of my {animal}",
            "(do you remember|tell me) the name of my {animal}",
        ),
        ("do you still know what my {animal} is called",),
        "Your {animal} is called {x}.",
        "You have not told me about your {animal} yet.",
    ),
)


@dataclass
class Lessons:
    """Draws exchanges and conversations; `held_out` ones use phrasings and words that training never sees.

    `copying` is the share of turns that only repeat words: the shortest way to learn to copy at all. `focus` draws
    more of what people ask Ember for, and less of the exercises.
    """

    rng: random.Random
    held_out: bool = False
    copying: float = 0.0
    focus: bool = False
    guide: tuple[Topic, ...] = field(default_factory=lambda: read_topics(TOPICS_FOLDER / "guide.txt"))
    talk: tuple[Topic, ...] = field(default_factory=lambda: read_topics(TOPICS_FOLDER / "talk.txt"))

    def __post_init__(self) -> None:
        self.words = Words(self.rng, self.held_out)
        self.kept = {_bare(phrase) for topic in self.guide + self.talk for phrase in topic.held_out}

    def about(self, topic: Topic) -> Exchange:
        """A question on one topic of guide.txt or talk.txt."""
        if self.held_out:
            return plain(vary(self.rng.choice(topic.held_out), self.rng), topic.answer, _topic_thought(topic))
        question = expand(self.rng.choice(topic.patterns), self.rng)
        while _bare(question) in self.kept:
            question = expand(self.rng.choice(topic.patterns), self.rng)
        return plain(vary(question, self.rng), topic.answer, _topic_thought(topic))

    def hearth(self) -> Exchange:
        return self.about(self.rng.choice(self.guide))

    def small_talk(self) -> Exchange:
        return self.about(self.rng.choice(self.talk))

    def fact(self) -> Exchange:
        return fact(self.rng, self.held_out)

    def small_sum(self) -> Exchange:
        return small_sum(self.rng, self.held_out)

    def unknown(self) -> Exchange:
        """A question beyond a tiny guide."""
        question = expand(self.rng.choice(UNKNOWN_HELD_OUT if self.held_out else UNKNOWN_PATTERNS), self.rng)
        for slot, draw in (
            ("{thing}", lambda: self.words.pick("things")),
            ("{name}", self.words.made_up),
            ("{word}", lambda: self.words.some(1, 1)),
        ):
            while slot in question:
                question = question.replace(slot, draw(), 1)
        return plain(vary(question, self.rng), UNKNOWN, "I do not know this. I say so.")

    def repeat(self) -> Exchange:
        """Words to say after the person."""
        text = self.words.some(1, 9)
        verbs = (
            ("repeat after me", "now repeat this")
            if self.held_out
            else ("say", "repeat", "please say", "please repeat", "echo", "say this", "write")
        )
        return plain(vary(f"{self.rng.choice(verbs)}: {text}", self.rng, ""), text, "I repeat the words.")

    def counting(self) -> Exchange:
        """Counting up to a number: the longest answers there are."""
        end = self.rng.choice((3, 4, 5, 6, 7, 8, 9, 10, 10, 12, 15, 20, 20, 25, 30, 40, 50))
        patterns = (
            ("can you count to {x}", "count for me until {x}")
            if self.held_out
            else (
                "count to {x}",
                "count from 1 to {x}",
                "(please|can you) count up to {x}",
                "count [up] from one to {x}",
                "say the numbers from 1 to {x}",
            )
        )
        question = expand(self.rng.choice(patterns), self.rng).replace("{x}", str(end))
        return plain(
            vary(question, self.rng), " ".join(str(number) for number in range(1, end + 1)), f"I count from 1 to {end}."
        )

    def tool_call(self) -> Exchange:
        return tool_call(self.rng, self.held_out)

    def tool_result(self) -> Exchange:
        return tool_result(self.rng, self.held_out)

    def tell(self, thing: Remembered, known: dict[str, str]) -> Exchange:
        """The person says their name, or something else worth keeping; `known` keeps it."""
        animal = self.words.any("animals")
        value = {
            "name": self.words.name,
            "colour": self.words.colour,
            "town": self.words.place,
            "pet": self.words.name,
        }[thing.name]()
        known[thing.name], known["animal"] = value, animal if thing.name == "pet" else known.get("animal", animal)
        question = expand(self.rng.choice(thing.told_held_out if self.held_out else thing.told), self.rng)
        fill = partial(filled, animal=animal, x=value)
        return plain(vary(fill(question), self.rng, "."), fill(thing.reply), f"Something to remember: {value}.")

    def ask(self, thing: Remembered, known: dict[str, str]) -> Exchange:
        """The person asks for what they told, or for what they never told."""
        value, animal = known.get(thing.name, ""), known.get("animal") or self.words.any("animals")
        question = expand(self.rng.choice(thing.asked_held_out if self.held_out else thing.asked), self.rng)
        fill = partial(filled, animal=animal, x=value)
        thought = f"They told me: {value}." if value else "They have not told me."
        return plain(vary(fill(question), self.rng), fill(thing.answer if value else thing.missing), thought)

    def any_turn(self, known: dict[str, str]) -> Exchange:
        """One exchange of any skill, the ones with more to learn more often."""
        if self.rng.random() < self.copying:
            return self.repeat()
        if self.rng.random() < 0.30:
            return self._memory(known)
        makers = (self.hearth, self.small_talk, self.fact, self.small_sum, self.unknown, self.repeat, self.counting)
        weights = (44, 22, 16, 2, 10, 4, 2) if self.focus else (34, 15, 11, 8, 11, 11, 4)
        return self.rng.choices(makers, weights)[0]()

    def _memory(self, known: dict[str, str]) -> Exchange:
        thing = self.rng.choice((REMEMBERED[0],) * (8 if self.focus else 1) + REMEMBERED)
        untold = thing.name not in known
        return self.tell(thing, known) if self.rng.random() < (0.7 if untold else 0.1) else self.ask(thing, known)

    def conversation(
        self, turns: int, tool_share: float = 0.25, thinking_share: float = 0.2
    ) -> tuple[list[Message], list[Message]]:
        """Messages of some turns, and the tools at hand; the last turn may have been thought about."""
        known: dict[str, str] = {}
        messages: list[Message] = []
        if self.rng.random() < 0.3:
            messages.append({"role": "system", "content": self.rng.choice(SYSTEMS)})
        tools: list[Message] = []
        if self.rng.random() < tool_share:
            used = self.tool_call() if self.rng.random() < 0.5 else self.tool_result()
            exchanges = [used] if self.rng.random() < 0.7 else [self.any_turn(known), used]
            tools = used.tools
            exchanges += [self.any_turn(known)] if turns > 2 else []
        else:
            exchanges = [self.any_turn(known) for _ in range(turns)]
            tools = offer(self.rng) if self.rng.random() < 0.04 else []
        if self.rng.random() < thinking_share:
            exchanges = exchanges[: self.rng.choice((1, 1, 2, 3))]
            exchanges[-1] = _thought_about(exchanges[-1])
        return messages + [message for exchange in exchanges for message in exchange.messages], tools


def _thought_about(exchange: Exchange) -> Exchange:
    answer = {**exchange.answer, "reasoning_content": exchange.thought}
    return Exchange([*exchange.messages[:-1], answer], exchange.thought, exchange.tools)


def _topic_thought(topic: Topic) -> str:
    return f"The question is about {topic.label}. I know this."


def _bare(text: str) -> str:
    return text.lower().strip(" ?.!")
