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
from .lessons import REMEMBERED, Lessons

STOP_TEXT = "<|im_end|>\n"
LONGEST_ANSWER = 200


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
        "small sums": lessons.small_sum,
        "an honest answer to what it does not know": lessons.unknown,
        "repeating words": lessons.repeat,
        "counting": lessons.counting,
        "a tool call": lessons.tool_call,
        "an answer from a tool's result": lessons.tool_result,
    }
    return {
        "what Hearth is and how to use it": _each_phrasing(lessons, lessons.guide),
        "greetings and small talk": _each_phrasing(lessons, lessons.talk),
        **{skill: [_alone(draw()) for _ in range(per_skill)] for skill, draw in drawn.items()},
        "a name, one to four turns later": [_recall(lessons, 0, lessons.rng.randint(1, 4)) for _ in range(per_skill)],
        "a name, ten turns later": [_recall(lessons, 0, 10) for _ in range(per_skill // 2)],
        "a colour, town or pet, later": [_recall(lessons, lessons.rng.randint(1, 3), 2) for _ in range(per_skill)],
        "what was never told": [_never_told(lessons) for _ in range(per_skill // 2)],
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


def _recall(lessons: Lessons, which: int, turns_between: int) -> Question:
    """Told once, then turns about other things, then asked."""
    known: dict[str, str] = {}
    thing = REMEMBERED[which]
    told = lessons.tell(thing, known)
    between = [
        draw() for draw in lessons.rng.choices((lessons.hearth, lessons.small_talk, lessons.fact), k=turns_between)
    ]
    exchanges = [told, *between, lessons.ask(thing, known)]
    return Question([message for exchange in exchanges for message in exchange.messages], [])


def _never_told(lessons: Lessons) -> Question:
    between = lessons.hearth()
    return Question(between.messages + lessons.ask(lessons.rng.choice(REMEMBERED[:3]), {}).messages, [])


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
