"""Held-out questions for each skill, answered greedily by the saved model through mlx-lm.

An answer is right when its text equals the expected one and the model ended it by itself. Phrasings, names, places
and other words are ones that training never saw; facts and topics are the same. Knows nothing of training.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import batch_generate

from .batches import text_of
from .exchanges import Exchange, Message, plain
from .lessons import Lessons

STOP_TEXT = "<|im_end|>\n"
# The longest right answer, a story, has 220 tokens.
LONGEST_ANSWER = 240


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that ends in the expected answer."""

    messages: list[Message]
    tools: list[Message]
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """How many questions of a skill were answered rightly, and the ones that were not."""

    skill: str
    right: int
    asked: int
    misses: list[tuple[str, str, str]]

    @property
    def share(self) -> float:
        return self.right / self.asked


def questions(per_skill: int, seed: int) -> dict[str, list[Question]]:
    """The evaluation: every held-out phrasing of every topic once, the other skills drawn."""
    lessons = Lessons(random.Random(seed), held_out=True)
    drawn: dict[str, Callable[[], Exchange]] = {
        "simple facts": lessons.fact,
        "an honest answer to what it does not know": lessons.unknown,
        "a tool call": lessons.tool_call,
        "an answer from a tool's result": lessons.tool_result,
    }
    return {
        "what Hearth is and how to use it": _each_phrasing(lessons, lessons.guide),
        "greetings and small talk": _each_phrasing(lessons, lessons.talk),
        **{skill: [_alone(draw()) for _ in range(per_skill)] for skill, draw in drawn.items()},
        "a name told one to four turns before": [_recall(lessons) for _ in range(per_skill)],
        "a name that was never told": [_never_told(lessons) for _ in range(per_skill)],
        "thinking before the answer": [_thoughtful(lessons) for _ in range(per_skill)],
    }


def _alone(exchange: Exchange) -> Question:
    return Question(exchange.messages, exchange.tools)


def _each_phrasing(lessons: Lessons, topics: tuple) -> list[Question]:
    return [
        _alone(plain((phrase + mark).strip(), topic.answer, ""))
        for topic in topics
        for phrase, mark in zip(topic.held_out, cycle("?. "), strict=False)
    ]


def _recall(lessons: Lessons) -> Question:
    """A name is told, then come turns about other things, then it is asked for."""
    told = lessons.tell()
    others = lessons.rng.choices((lessons.hearth, lessons.small_talk, lessons.fact), k=lessons.rng.randint(1, 4))
    exchanges = [told, *(draw() for draw in others), lessons.ask()]
    return Question([message for exchange in exchanges for message in exchange.messages], [])


def _never_told(lessons: Lessons) -> Question:
    between = lessons.hearth()
    lessons.known = ""
    return Question(between.messages + lessons.ask().messages, [])


def _thoughtful(lessons: Lessons) -> Question:
    exchange = lessons.rng.choice((lessons.hearth, lessons.fact, lessons.small_talk, lessons.tool_call))()
    return Question(exchange.messages, exchange.tools, thinking=True)


def evaluate(folder: Path, per_skill: int, seed: int) -> list[Score]:
    """Loads the saved model as Hearth does on a CPU, in float32, and asks it everything."""
    model, tokenizer = load(str(folder))[:2]
    model.set_dtype(mx.float32)
    return [_score(model, tokenizer, skill, asked) for skill, asked in questions(per_skill, seed).items()]


def _score(model, tokenizer, skill: str, asked: list[Question]) -> Score:
    pairs = [_prompt_and_answer(tokenizer, question) for question in asked]
    prompts = [tokenizer.encode(prompt, add_special_tokens=False) for prompt, _ in pairs]
    replies = batch_generate(model, tokenizer, prompts, max_tokens=LONGEST_ANSWER, return_token_ids=True)
    misses = []
    for question, (_, expected), ids in zip(asked, pairs, replies.token_ids, strict=True):
        said = tokenizer.decode(ids)
        if _judged(said, question.thinking) != expected or len(ids) >= LONGEST_ANSWER:
            misses.append((str(question.messages[-2]["content"]), expected, said))
    return Score(skill, len(asked) - len(misses), len(asked), misses)


def _judged(said: str, thinking: bool) -> str:
    """What is compared: all of it, or what follows a proper thought."""
    if not thinking:
        return said
    opened, _, answer = said.partition("\n</think>\n\n")
    return answer if opened.startswith("<think>\n") and len(opened) > len("<think>\n") else f"no thought: {said}"


def _prompt_and_answer(tokenizer, question: Question) -> tuple[str, str]:
    whole = text_of(tokenizer, question.messages, question.tools)
    options = {"add_generation_prompt": True, "enable_thinking": question.thinking}
    prompt = text_of(tokenizer, question.messages[:-1], question.tools, **options)
    answered = text_of(
        tokenizer, question.messages[:-1], question.tools, add_generation_prompt=True, enable_thinking=False
    )
    return prompt, whole.removeprefix(answered).removesuffix(STOP_TEXT)
