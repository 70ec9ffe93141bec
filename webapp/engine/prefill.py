"""How much of the prompts and texts a step computes, and how long it may hold up running answers.

The engine makes a Plan from the batch and a measured speed; a runner only computes it.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from webapp.engine.sequence import Sequence

# How many steps of prefill a burst of prompts may take before the first of them answers.
BURST_STEPS = 4
# A cancelled prefill must be gone within half a second.
LONGEST_CHUNK_SECONDS = 0.2
MOST_PROMPTS_ABREAST = 32
MOST_TEXTS_ABREAST = 32
# A step that fills less than this share of its allowed tokens gives only a lower bound of the speed.
FILLED = 0.75


@dataclass(frozen=True, slots=True)
class Plan:
    """The prefill that a step computes, beside one more token for every answer.

    The first `prompts` of those in prefill are computed abreast, at most `chunk_tokens` of each; then the first `texts`
    of those that become vectors, at most `text_tokens` of each. Each of the two should take about `seconds`.
    """

    prompts: int
    chunk_tokens: int
    texts: int
    text_tokens: int
    seconds: float = LONGEST_CHUNK_SECONDS


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a step and its time: `seconds` for prompts and answers, `text_seconds` for texts.

    `text_tokens` counts padding too.
    """

    prompt_tokens: int = 0
    answers: int = 0
    seconds: float = 0.0
    text_tokens: int = 0
    text_seconds: float = 0.0


class PrefillSpeed:
    """How many tokens fit into a span of time, learnt from each step."""

    FIRST_TOKENS_PER_SECOND = 512.0
    SMALLEST_CHUNK = 32

    def __init__(self) -> None:
        self.tokens_per_second = self.FIRST_TOKENS_PER_SECOND

    def tokens_in(self, seconds: float) -> int:
        return max(self.SMALLEST_CHUNK, int(self.tokens_per_second * seconds))

    def learn(self, tokens: int, seconds: float, target_seconds: float, exact: bool) -> None:
        """Learn from a step, which changes the speed by a factor of 0.7 to 2. A quick step with few tokens is ignored.

        It still counts if its seconds are `exact` and it was faster than the speed learnt so far.
        """
        change = tokens / max(seconds, 1e-4) / self.tokens_per_second
        filled = tokens >= FILLED * self.tokens_in(target_seconds)
        if filled or seconds > target_seconds or (exact and change > 1):
            self.tokens_per_second *= min(2.0, max(0.7, change))


class PrefillPolicy:
    """Makes the plans for one loaded model, and learns from each step how fast that model is."""

    def __init__(self) -> None:
        self.prompt_speed = PrefillSpeed()
        self.text_speed = PrefillSpeed()
        self._decode_seconds = 0.0

    def plan(self, batch: Seq[Sequence], most_tokens: int, stall_seconds: float) -> Plan:
        """Plan the next step of a batch, in the order of admission. No chunk is larger than `most_tokens`."""
        texts = [sequence for sequence in batch if sequence.embeds]
        prompts = [sequence for sequence in batch if sequence.state != "decode" and not sequence.embeds]
        answers = len(batch) - len(prompts) - len(texts)
        seconds = allowed_seconds(len(prompts), answers, stall_seconds)
        if prompts and texts:
            seconds /= 2
        tokens = min(most_tokens, self.prompt_speed.tokens_in(seconds))
        abreast, chunk_tokens = share(prompts, tokens, BURST_STEPS if len(prompts) > answers else 1)
        text_tokens = min(most_tokens, self.text_speed.tokens_in(seconds))
        return Plan(abreast, chunk_tokens, texts_abreast(texts, text_tokens), text_tokens, seconds)

    def learn(self, plan: Plan, work: Work) -> None:
        """Learn the model's speed from the work of a step and its plan."""
        if work.prompt_tokens:
            prompt_seconds = work.seconds - (self._decode_seconds if work.answers else 0.0)
            self.prompt_speed.learn(work.prompt_tokens, prompt_seconds, plan.seconds, exact=not work.answers)
        elif work.answers:
            self._decode_seconds += 0.2 * (work.seconds - self._decode_seconds)
        if work.text_tokens:
            self.text_speed.learn(work.text_tokens, work.text_seconds, plan.seconds, exact=True)


def allowed_seconds(prompts: int, answers: int, stall_seconds: float) -> float:
    """How long a step's prefill may take; twice the allowed pause while there are more prompts than answers."""
    if answers == 0:
        return LONGEST_CHUNK_SECONDS
    return min(LONGEST_CHUNK_SECONDS, stall_seconds * (2 if prompts > answers else 1))


def share(prompts: Seq[Sequence], tokens: int, steps: int) -> tuple[int, int]:
    """Share a step's tokens among the first prompts that fill `steps` of them: returns how many, and tokens of each.

    It takes at least two, so that a short one overtakes, and all begun ones, which go on side by side. A burst, more
    prompts than answers, is computed abreast: a decode step costs nearly the same for one row as for many, so its rows
    had better start together.
    """
    abreast = total = 0
    for sequence in prompts[:MOST_PROMPTS_ABREAST]:
        begun = sequence.done_tokens > sequence.cached_tokens
        if total >= tokens * steps and abreast >= 2 and not begun:
            break
        total += len(sequence.prompt.tokens) - sequence.done_tokens
        abreast += 1
    return abreast, tokens if total <= tokens else max(1, tokens // abreast)


def texts_abreast(texts: Seq[Sequence], tokens: int) -> int:
    """How many of the first texts fit beside each other, padded to the longest. A text of several steps is alone."""
    longest = 0
    for count, sequence in enumerate(texts[:MOST_TEXTS_ABREAST]):
        longest = max(longest, len(sequence.prompt.tokens))
        if count and (longest * (count + 1) > tokens or texts[0].done_tokens):
            return count
    return min(len(texts), MOST_TEXTS_ABREAST)
