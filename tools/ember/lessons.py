"""Whole conversations: exchanges of every skill in a row, with names to remember and turns in between."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from .exchanges import UNKNOWN, Exchange, Message, plain
from .facts import fact
from .phrases import Topic, expand, filled, read_topics, vary
from .tool_use import Offered, tool_call, tool_result, toolbox
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
    "(what is|explain|tell me about|describe|what do you know about|what about|tell me more about) {thing}",
    "(can|could) you (explain|describe) {thing} [to me]",
    "(i want|i need|i would like) to (know|learn|understand) [more|something] about {thing}",
    "(who invented|who discovered|who wrote about|who likes|who made) {thing}",
    "(how does|how do|why does|why do) {thing} work",
    "what do you think (of|about) {thing}",
    "how (do|can|could|should|would) i (make|repair|buy|sell|cook|draw|learn|build|paint|clean|win|lose|grow) {thing}",
    "(i want|i need|i would like) to (make|repair|buy|sell|cook|draw|learn|build|paint|play) {thing}",
    "(show me|tell me|explain) how to (make|repair|buy|sell|cook|draw|learn|build|paint|play) {thing}",
    "write [me] (an essay|a report|a speech|a text|some words|a letter|a book) about {thing}",
    "(summarise|summarize|review|compare|list|analyse|check) {thing}",
    "(help|help me) with {thing}",
    "who (is|was|are|were) [the] {name}",
    "(where|when) was {name} (born|built|found)",
    "(what|why|when|where) did {name} (do|go|die|live|say|write)",
    "who (won|lost) [the] {name} (cup|prize|war|game)",
    "what is the capital of {name}",
    "what is [a|the] (opposite|colour|sound) of [a] {word}",
    "what is [a|an|the] {word}",
    "what (does|did) {word} (mean|do|cost)",
    "how (tall|old|far|heavy|deep|fast|rich) (is|was) {name}",
    "what is the (population|history|language|currency|size|name) of {name}",
    "(what|which) (is|was) the (first|oldest|largest|longest|most famous) (book|film|city|river) (of|about|in) {name}",
    "when did {thing} (begin|end|start|happen)",
    "(can|could|will) you (write|fix|check|read|draw|find|buy|send) {thing}",
    "plan a (trip|visit|holiday|party) (to|in) {name}",
    "(is|are) {thing} (good|bad|dangerous|healthy|better than {word}|like {word})",
    "give me (a recipe|advice|ideas|a plan|a tip|some facts) (for|about|on) {thing}",
    "should i (buy|learn|visit|eat|sell|read|like) {thing}",
    "{word} {thing} {word}",
    "{word} {word}",
    "how many {thing} are there [in {name}]",
    "why (is|are) {thing} so (expensive|old|important|small|big|popular|hard)",
    "do you (like|know|have|love|want) {thing}",
    "(i like|i love|i hate|i bought|i saw|i read about|i work with) {thing}",
    "(what|how much) is {number} (+|-|*|plus|minus|times) {number}",
    "{number} (+|-|*|/) {number}",
    "(translate|spell|define) {word}",
    "(what|which) {thing} (are|is) (best|good|cheap|in {name})",
    "where (is|are|can i find|can i buy) {name}",
    "where (are|can i find|can i buy|do i get) {thing}",
    "(will|did|does|was|has) {name} (come|win|go|right|won|lost|die)",
    "what (will|did|may) {name} (say|do|become)",
    "(what happens|what comes|something new) (with|to|in) {thing}",
    "(i study|i wonder about|let us talk about|we speak about|my question is about) {thing}",
    "how (long|often|much) (do|should|can) (people|we|i) (play|eat|use|need) {thing}",
    "who (knows|has|wants) the most {thing}",
)
UNKNOWN_HELD_OUT = (
    "can you teach me {thing}",
    "what happened to {name} in the war",
    "I have a question about {thing}",
    "what can you say about {thing}",
    "who is the best at {thing}",
    "what is the meaning of {word}",
    "is it true that {name} was rich",
    "for how long do people study {thing}",
)
REPEATING = ("say", "repeat", "please say", "please repeat", "echo", "say this", "write", "repeat the words", "copy")
# Letters of an answer that still counts as brief.
BRIEF = 130
TOPICS_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Remembered:
    """Something a person says about themselves, and asks for later."""

    told: tuple[str, ...]
    told_held_out: tuple[str, ...]
    reply: str
    asked: tuple[str, ...]
    asked_held_out: tuple[str, ...]
    answer: str
    missing: str


NAME = Remembered(
    (
        "my name is {x}",
        "i am {x}",
        "i'm {x}",
        "call me {x}",
        "you (can|may) call me {x}",
        "i am called {x}",
        "my name's {x}",
        "{x} is my name",
        "this is {x}",
        "(it is|it's) {x} here",
        "{x} here",
        "they call me {x}",
        "my (friends call|mother calls) me {x}",
        "my (first|full|real) name is {x}",
        "(remember|note|keep in mind), (i am|my name is) {x}",
        "(you are speaking with|you talk to|meet) {x}",
        "{x}, (that is me|that is my name|nice to meet you)",
        "(everybody|everyone|my mother) (calls|named) me {x}",
        "i was (named|given the name|born as) {x}",
    ),
    ("people call me {x}", "the name is {x}", "I go by the name of {x}"),
    "Nice to meet you, {x}.",
    (
        "(what is|what's|what was) my name [again]",
        "(do you remember|do you know|tell me|say) my name",
        "(do you remember|do you know|tell me|say) (who i am|what i am called)",
        "who am i [again]",
        "(what|how) am i called",
        "(can you remember|which is|can you say|have you forgotten|did you forget) my name",
        "and my name",
        "my name please",
        "what did i say my name (is|was)",
        "how do (people|my friends|you) call me",
        "i forgot my name",
        "(say|repeat|tell me|write|say me) (my name|the name i told you|who i am) [again|please|once more]",
        "(which|what) name (do i have|did i say|is mine|was it|have i)",
        "(do you|can you) [still] (recall|remember|say|repeat) (my name|what i am called|who i am)",
        "(repeat|say|tell me|write) the name (i told you|i said|i have|of mine) [again|please|once more]",
        "(what|which) was the name i (told|gave) you",
        "[please] (give|tell) me my name [again|back]",
    ),
    ("do you still know what my name is", "what name did I tell you", "please repeat the name I gave you"),
    "Your name is {x}.",
    "You have not told me your name yet.",
)


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
    guide: tuple[Topic, ...] = field(default_factory=lambda: _topics("guide", "guide_daily"))
    talk: tuple[Topic, ...] = field(default_factory=lambda: _topics("talk"))

    def __post_init__(self) -> None:
        self.words = Words(self.rng, self.held_out)
        self.kept = [_bare(phrase) for topic in self.guide + self.talk for phrase in topic.held_out]

    def about(self, topic: Topic) -> Exchange:
        """A question on one topic of guide.txt or talk.txt."""
        if self.held_out:
            return plain(vary(self.rng.choice(topic.held_out), self.rng), topic.answer, _topic_thought(topic))
        question = topic.question(self.rng)
        while any(phrase in _bare(question) for phrase in self.kept):
            question = topic.question(self.rng)
        return plain(vary(_blurred(question, self.rng), self.rng), topic.answer, _topic_thought(topic))

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
        question = expand(self.rng.choice(UNKNOWN_HELD_OUT if self.held_out else UNKNOWN_PATTERNS), self.rng)
        for slot, draw in (
            ("{thing}", lambda: self.words.pick("things")),
            ("{name}", self.words.made_up),
            ("{word}", lambda: self.words.some(1, 1)),
            ("{number}", lambda: str(self.words.number(0, 120))),
        ):
            while slot in question:
                question = question.replace(slot, draw(), 1)
        return plain(vary(question, self.rng), UNKNOWN, "I do not know this. I say so.")

    def repeat(self) -> Exchange:
        """Words to say after the person."""
        text = self.words.some(1, 6)
        verbs = (
            ("repeat after me", "now repeat this")
            if self.held_out
            else (
                "say",
                "repeat",
                "please say",
                "please repeat",
                "echo",
                "say this",
                "write",
                "repeat the words",
                "copy",
            )
        )
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
        """One exchange of any skill but tools; what a tool might know is no unknown question."""
        if self.rng.random() < self.naming:
            told = self.rng.random() < (0.1 if self.known else 0.75)
            return self.tell() if told else self.ask()
        makers = (self.hearth, self.small_talk, self.fact, self.repeat, self.unknown)
        return self.rng.choices(makers, (44, 18, 18, 5, 0 if with_tools else 12))[0]()

    def _tool_turn(self, box: list[Offered]) -> Exchange:
        return self.tool_call(box) if self.rng.random() < 0.5 else self.tool_result(box)

    def conversation(
        self, turns: int, tool_share: float = 0.25, thinking_share: float = 0.24
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


def _blurred(question: str, rng: random.Random) -> str:
    """Now and then a word less, so that no single word is all that a topic is known by."""
    words = question.split()
    if len(words) > 4 and rng.random() < 0.15:
        del words[rng.randrange(len(words))]
    return " ".join(words)


def _bare(text: str) -> str:
    return text.lower().strip(" ?.!")
