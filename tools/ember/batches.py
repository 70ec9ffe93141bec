"""Lessons as token rows: what goes in, and how much each token counts.

Answers count fully, the words around them a little: most of what the model should learn is how to answer.
"""

import random
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from .exchanges import Message
from .lessons import Lessons
from .tokenizer import END, STOP

PROMPT_WEIGHT = 0.05
# Rows too short for tools; they come first and teach copying.
SHORT = 60


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
        one = {
            word: tokenizer.convert_tokens_to_ids(word) for word in (END, STOP, "<|im_start|>", "<think>", "</think>")
        }
        self.end, self.stop, self.start = one[END], one[STOP], one["<|im_start|>"]
        self.header = tokenizer.encode("assistant\n", add_special_tokens=False)
        self.empty_thought = tokenizer.encode("<think>\n\n</think>\n\n", add_special_tokens=False)

    def batch(self, rows: int, length: int) -> Batch:
        self.lessons.copying = 0.5 if length <= SHORT else 0.0
        drawn = [self._row(length) for _ in range(rows)]
        tokens, weights, positions = (np.stack(parts) for parts in zip(*drawn, strict=True))
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

    def _lesson(self, length: int) -> tuple[list[int], list[float]]:
        """A conversation with at least one whole answer in the row."""
        while True:
            drawn = self.lessons.conversation(turns=1 + length // 40, tool_share=0.0 if length <= SHORT else 0.3)
            ids = self.tokens_of(*drawn)[: length + 1]
            weights = self._weights(ids)
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

    def _jumps(self, ids: list[int], length: int) -> np.ndarray:
        """In a third of the rows turns lie far apart, so that long conversations are not a surprise."""
        jumps = np.zeros(length + 1, dtype=np.int64)
        if length > SHORT and self.rng.random() < 0.25:
            for place in (number for number, token in enumerate(ids) if token == self.start):
                if self.rng.random() < 0.3:
                    jumps[place:] += self.rng.randint(1, 500)
        return jumps


def text_of(tokenizer: PreTrainedTokenizerBase, messages: list[Message], tools: list[Message], **options: bool) -> str:
    """Messages as the chat template writes them."""
    text = tokenizer.apply_chat_template(messages, tools=tools or None, tokenize=False, **options)
    assert isinstance(text, str)
    return text
