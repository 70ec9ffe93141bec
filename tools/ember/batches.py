"""Lessons as token rows: what goes in, and how much each token counts.

Answers count fully, the words around them a little: most of what the model should learn is how to answer.
"""

import random
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from .exchanges import Message
from .lessons import Lessons
from .tokenizer import END, MARKERS, STOP

PROMPT_WEIGHT = 0.05
# Tokens of an answer that may be cut.
LONG_ANSWER = 20
# Rows of repeated tokens, rows that hold a tool call, and rows long enough for a name told many turns ago.
SHORT, TOOLS_FIT, LONG = 64, 150, 300


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of `length + 1` tokens; weights belong to the tokens that are predicted, positions to the ones read."""

    tokens: np.ndarray
    weights: np.ndarray
    positions: np.ndarray


class BatchMaker:
    """Draws lessons and turns them into batches of one row length."""

    def __init__(self, lessons: Lessons, tokenizer: PreTrainedTokenizerBase):
        self.lessons = lessons
        self.rng: random.Random = lessons.rng
        self.tokenizer = tokenizer
        self.end, self.stop, self.start = map(tokenizer.convert_tokens_to_ids, (END, STOP, "<|im_start|>"))
        self.never_cut = set(map(tokenizer.convert_tokens_to_ids, ("<think>", "<tool_call>")))
        self.space = tokenizer.encode(" ", add_special_tokens=False)[0]
        self.plain = range(len(MARKERS), len(tokenizer))
        self.header = tokenizer.encode("assistant\n", add_special_tokens=False)
        self.empty_thought = tokenizer.encode("<think>\n\n</think>\n\n", add_special_tokens=False)

    def batch(self, rows: int, length: int) -> Batch:
        """Lessons, or only repeated tokens where rows are short, and one such row among those of single questions."""
        repeated = rows if length <= SHORT else int(length < TOOLS_FIT)
        draws = [self._repetition] * repeated + [self._row] * (rows - repeated)
        tokens, weights, positions = (np.stack(parts) for parts in zip(*(draw(length) for draw in draws), strict=True))
        return Batch(tokens, weights[:, 1:].astype(np.float32), positions[:, :-1])

    def tokens_of(self, messages: list[Message], tools: list[Message]) -> list[int]:
        return self.tokenizer.encode(text_of(self.tokenizer, messages, tools), add_special_tokens=False)

    def _row(self, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids, weights = self._lesson(length)
        missing = length + 1 - len(ids)
        jumps = self._jumps(ids, length)
        return (
            np.array(ids + [self.end] * missing, dtype=np.int32),
            np.array(weights + [0.0] * missing),
            np.arange(length + 1) + jumps,
        )

    def _repetition(self, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Runs of random tokens that come again: what follows the first token of a second time counts."""
        runs: list[list[int]] = []
        ids: list[int] = []
        weights: list[float] = []
        while len(ids) <= length:
            again = bool(runs) and self.rng.random() < 0.5
            run = self.rng.choice(runs) if again else self._run()
            runs += [] if again else [run]
            ids += run
            weights += [0.0] + [float(again)] * (len(run) - 1)
        return np.array(ids[: length + 1], dtype=np.int32), np.array(weights[: length + 1]), np.arange(length + 1)

    def _run(self) -> list[int]:
        """Some tokens, among them spaces: they follow on many words, so the word before must count, too."""
        drawn = self.rng.choices(self.plain, k=self.rng.randint(3, 10))
        return [self.space if self.rng.random() < 0.2 else token for token in drawn]

    def _lesson(self, length: int) -> tuple[list[int], list[float]]:
        """A conversation with at least one whole answer in the row."""
        while True:
            self.lessons.brief = length >= LONG and self.rng.random() < 0.5
            self.lessons.naming = self.rng.choice((0.1, 0.1, 0.5))
            tool_share = 0.7 if TOOLS_FIT <= length < LONG else 0.0
            ids = self.tokens_of(*self.lessons.conversation(turns=1 + length // 24, tool_share=tool_share))
            ids, weights = self._shortened(ids, self._weights(ids))
            ids, weights = ids[: length + 1], weights[: length + 1]
            if any(token == self.stop and weight == 1.0 for token, weight in zip(ids, weights, strict=True)):
                return ids, weights

    def _weights(self, ids: list[int]) -> list[float]:
        weights = [PROMPT_WEIGHT] * len(ids)
        for place in (number for number, token in enumerate(ids) if token == self.start):
            first = place + 1 + len(self.header)
            if ids[place + 1 : first] != self.header:
                continue
            if ids[first : first + len(self.empty_thought)] == self.empty_thought:
                weights[first : first + len(self.empty_thought)] = [0.0] * len(self.empty_thought)
                first += len(self.empty_thought)
            last = next((at for at in range(first, len(ids)) if ids[at] == self.stop), len(ids) - 1)
            weights[first : last + 1] = [1.0] * (last + 1 - first)
        return weights

    def _shortened(self, ids: list[int], weights: list[float]) -> tuple[list[int], list[float]]:
        """Most long answers only begin: the question is what is hard, and so more questions fit.

        The end after such a beginning has no weight, and so nobody learns to stop there.
        """
        kept: list[int] = []
        place = 0
        while place < len(ids):
            last = place
            while last < len(ids) and weights[last] == 1.0:
                last += 1
            beginning = place + self.rng.randint(8, 16)
            if last - place > LONG_ANSWER and ids[place] not in self.never_cut and self.rng.random() < 0.8:
                kept += range(place, beginning)
                weights[last - 1] = 0.0
                place = last - 1
            kept += range(place, max(last, place + 1))
            place = max(last, place + 1)
        return [ids[at] for at in kept], [weights[at] for at in kept]

    def _jumps(self, ids: list[int], length: int) -> np.ndarray:
        """In a quarter of the rows turns lie far apart, so that long conversations are not a surprise."""
        jumps = np.zeros(length + 1, dtype=np.int64)
        if self.rng.random() < 0.25:
            for place in (number for number, token in enumerate(ids) if token == self.start):
                if self.rng.random() < 0.3:
                    jumps[place:] += self.rng.randint(1, 500)
        return jumps


def text_of(tokenizer: PreTrainedTokenizerBase, messages: list[Message], tools: list[Message], **options: bool) -> str:
    """Messages as the chat template writes them."""
    text = tokenizer.apply_chat_template(messages, tools=tools or None, tokenize=False, **options)
    assert isinstance(text, str)
    return text
