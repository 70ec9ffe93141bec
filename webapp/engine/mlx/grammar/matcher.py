"""Keeps one sequence's answer to its grammar, token by token, with llguidance's matcher.

A matcher is made on the request's thread, which refuses a bad grammar; afterwards only the engine thread uses it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from llguidance.numpy import fill_next_token_bitmask
from mlx_lm.tokenizer_utils import TokenizerWrapper

from webapp.engine.mlx.grammar.bitmask import EVERYTHING, WORD_BITS, Words, allow, forbid
from webapp.engine.mlx.grammar.calls.lark import WHITE_SPACE, json_value, pattern
from webapp.engine.mlx.grammar.calls.marker import Marker
from webapp.engine.mlx.grammar.calls.schemas import limits
from webapp.engine.mlx.grammar.calls.writing import Writing, calls, one_call
from webapp.errors import InvalidRequest, Place, UnsupportedParameter
from webapp.generation import GenerationRequest, Grammar

GRAMMAR: Place = ("grammar",)


class Grammars:
    """Compiles grammars over one tokenizer. Thread-safe."""

    def __init__(self, wrapper: TokenizerWrapper):
        self._wrapper = wrapper
        family = wrapper.tool_parser.__module__.rpartition(".")[2] if wrapper.has_tool_calling else ""
        self._tokens = from_tokenizer(wrapper._tokenizer, eos_token=sorted(wrapper.eos_token_ids))
        added = wrapper._tokenizer.get_added_vocab().items()
        own = {text: token for text, token in added if self._tokens.is_special_token(token)}
        self._writing = Writing(family, wrapper.tool_call_start or "", wrapper.tool_call_end or "", own)
        self._thoughts = Thoughts(tuple(wrapper.think_start_tokens or ()), tuple(wrapper.think_end_tokens or ()))

    def compile(self, request: GenerationRequest, in_reasoning: bool, may_think: bool) -> Matched:
        """The request's matcher. Raises UnsupportedParameter for what cannot be enforced, InvalidRequest if invalid."""
        grammar = request.grammar
        if grammar is None or request.tool_choice.mode == "required":
            return self._compile_calls(request, in_reasoning, may_think)
        matcher = LLMatcher(self._tokens, _source(grammar), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0]
            if "nimplemented" in reason or "Unknown format" in reason:
                raise UnsupportedParameter(f"The {grammar.kind} cannot be enforced: {reason}.", place=GRAMMAR)
            raise InvalidRequest(f"The {grammar.kind} is not valid: {reason}.", code="invalid_value", place=GRAMMAR)
        if request.offered_tools:
            matcher = self._matcher(f"{self._calls(request, 'answer | ')}\nanswer: {_rule(grammar)}\n")
        return self._bound(matcher, in_reasoning, may_think)

    def _bound(self, matcher: LLMatcher, in_reasoning: bool, may_think: bool) -> Constraint:
        start = self._thoughts.start if may_think and not in_reasoning else ()
        return Constraint(matcher, self._tokens, Thoughts(start, self._thoughts.end), in_reasoning)

    def _compile_calls(self, request: GenerationRequest, in_reasoning: bool, may_think: bool) -> Matched:
        """Binds the answer to calls from its beginning, or only behind the marker of each call the model makes."""
        if request.tool_choice.mode == "required":
            return self._bound(self._matcher(self._calls(request)), in_reasoning, may_think)
        guarded = self._matcher(one_call(self._writing, request.offered_tools))
        return CallGuard(guarded, self._tokens, self._marker, self._thoughts, in_reasoning)

    def _calls(self, request: GenerationRequest, instead: str = "") -> str:
        """The grammar of an answer that is calls, or else the rule that `instead` names."""
        source = calls(self._writing, request.offered_tools, request.tool_choice.name, request.parallel_tool_calls)
        return source.replace("start: ", f"start: {instead}", 1)

    @cached_property
    def _marker(self) -> Marker:
        return Marker(self._writing.start, self._tokens)

    def spell(self, token: int) -> bytes:
        return bytes(self._tokens.decode_bytes([token]))

    def _matcher(self, source: str) -> LLMatcher:
        matcher = LLMatcher(self._tokens, LLMatcher.grammar_from_lark(source), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0]
            raise UnsupportedParameter(f"Calls of these tools cannot be enforced: {reason}.", place=("tools",))
        return matcher


def _source(grammar: Grammar) -> str:
    try:
        match grammar.kind:
            case "JSON schema":
                bounded: Any = {"whitespace_pattern": WHITE_SPACE}
                return str(LLMatcher.grammar_from_json_schema(json.dumps(_schema(grammar)), overrides=bounded))
            case "regex":
                return str(LLMatcher.grammar_from_regex(grammar.text))
            case "grammar":
                return str(LLMatcher.grammar_from_lark(grammar.text))
    except ValueError as error:
        raise InvalidRequest(
            f"The {grammar.kind} is not valid: {error}.", code="invalid_value", place=GRAMMAR
        ) from error


def _schema(grammar: Grammar) -> object:
    return limits(json.loads(grammar.text))


def _rule(grammar: Grammar) -> str:
    """The body of a Lark rule for a grammar that is known to be valid."""
    match grammar.kind:
        case "JSON schema":
            return json_value(_schema(grammar))
        case "regex":
            return pattern(grammar.text)
        case "grammar":
            raise UnsupportedParameter("An answer cannot be kept to a grammar while tools are offered.", place=GRAMMAR)


@dataclass(frozen=True, slots=True)
class Thoughts:
    """The tokens that begin and end a model's thoughts; empty for a model that does not think."""

    start: tuple[int, ...]
    end: tuple[int, ...]


class Matched:
    """A matcher and the tokens it knows. `broken` says why the answer can no longer follow the grammar."""

    def __init__(self, matcher: LLMatcher, tokens: LLTokenizer):
        self._matcher = matcher
        self._words = np.zeros((1, -(-tokens.vocab_size // WORD_BITS)), dtype=np.int32)
        self._ends = tuple(tokens.eos_tokens)
        self.broken: str | None = None

    def __deepcopy__(self, memo: object) -> Matched:
        """The matcher itself: mlx-lm (0.32) copies a batch to split it, and drops the other half of each copy."""
        return self

    def consume(self, token: int) -> None:
        """Take the token sampled last. A batch samples once more after the end: that token does not count."""
        if not self._matcher.is_stopped() and not self._matcher.consume_token(token):
            # Only the first line names the error: the lines below it quote the answer.
            self.broken = self._matcher.get_error().partition("\n")[0] or "a token outside of the grammar was sampled"

    def fill(self, words: Words) -> None:
        """Set the bit of each token that may come next. Words beyond the tokenizer's vocabulary stay zero."""
        if self.broken:
            words[:] = EVERYTHING
            return
        fill_next_token_bitmask(self._matcher, self._words, 0)
        if self._matcher.is_error():
            self.broken = "the grammar became too complex"
        known = min(len(words), self._words.shape[1])
        words[:known] = self._words[0, :known]


class Constraint(Matched):
    """Leaves thoughts free and binds the rest to the grammar. A model with a start of thought may think first."""

    def __init__(
        self,
        matcher: LLMatcher,
        tokens: LLTokenizer,
        thoughts: Thoughts,
        in_reasoning: bool,
    ):
        super().__init__(matcher, tokens)
        self._start = thoughts.start  # the tokens of the start still to come
        self._begun = False
        self._end = thoughts.end
        self._thinking = in_reasoning
        self._latest: tuple[int, ...] = ()

    def consume(self, token: int) -> None:
        if self._thinking:
            self._latest = (*self._latest, token)[-len(self._end) :]
            self._thinking = self._latest != self._end
        elif self._start and token == self._start[0]:
            self._start, self._begun = self._start[1:], True
            self._thinking = not self._start
        else:
            self._start = ()
            super().consume(token)

    def fill(self, words: Words) -> None:
        if self._thinking:
            words[:] = EVERYTHING
            for token in self._ends:  # a thought is not an answer
                forbid(words, token)
            return
        if self._start and self._begun:
            words[:] = 0
        else:
            super().fill(words)
        for token in self._start[:1]:
            allow(words, token)


class CallGuard(Matched):
    """Leaves the answer free but for calls: from each `marker` to their end. Markers in a thought do not count."""

    def __init__(self, matcher: LLMatcher, tokens: LLTokenizer, marker: Marker, thoughts: Thoughts, in_reasoning: bool):
        super().__init__(matcher, tokens)
        self._marker = marker
        self._thoughts = thoughts
        self._thinking = in_reasoning
        self._latest: tuple[int, ...] = ()
        self._tail = b""
        self._bound = False

    def consume(self, token: int) -> None:
        if not self._bound:
            self._free(token)
            return
        super().consume(token)
        if self._matcher.is_stopped() and not self.broken:
            self._matcher.reset()
            self._latest, self._tail, self._bound = (), b"", False

    def _free(self, token: int) -> None:
        border = self._thoughts.end if self._thinking else self._thoughts.start
        self._latest = (*self._latest, token)[-len(border) :]
        if border and self._latest == border:
            self._thinking, self._latest, self._tail = not self._thinking, (), b""
        elif not self._thinking:
            self._tail, self._bound = self._marker.follow(self._tail, token)

    def fill(self, words: Words) -> None:
        if self._bound:
            super().fill(words)
            return
        words[:] = EVERYTHING
        if not self._thinking:
            self._marker.forbid(self._tail, words)
