"""What an answer may still say, token by token: llguidance's matcher for one sequence.

Made on the request's thread, where a grammar that cannot be enforced is refused; then the engine thread's alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from llguidance.numpy import fill_next_token_bitmask
from mlx_lm.tokenizer_utils import TokenizerWrapper
from numpy.typing import NDArray

from webapp.errors import InvalidRequest, UnsupportedParameter
from webapp.generation import Grammar

WORD_BITS = 32
EVERYTHING = -1
# Small models like to indent for ever.
WHITE_SPACE = r"[ \n\t]{0,40}"


class Grammars:
    """Compiles grammars over one tokenizer. Thread-safe."""

    def __init__(self, wrapper: TokenizerWrapper):
        self._tokens = from_tokenizer(wrapper._tokenizer, eos_token=sorted(wrapper.eos_token_ids))
        self._think_start = wrapper.think_start_id if wrapper.has_thinking else None
        self._think_end = tuple(wrapper.think_end_tokens or ()) if wrapper.has_thinking else ()

    def compile(self, grammar: Grammar, in_reasoning: bool, may_think: bool) -> Constraint:
        """Raises UnsupportedParameter naming what cannot be enforced, or InvalidRequest for what is no grammar."""
        matcher = LLMatcher(self._tokens, _source(grammar), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0]
            if "nimplemented" in reason or "Unknown format" in reason:
                raise UnsupportedParameter(f"The {grammar.kind} cannot be enforced: {reason}.", grammar.param)
            raise InvalidRequest(f"The {grammar.kind} is not valid: {reason}.", grammar.param, "invalid_value")
        think_start = self._think_start if may_think and not in_reasoning else None
        return Constraint(matcher, self._tokens, think_start, self._think_end, in_reasoning)


def _source(grammar: Grammar) -> str:
    try:
        match grammar.kind:
            case "JSON schema":
                bounded: Any = {"whitespace_pattern": WHITE_SPACE}
                return str(LLMatcher.grammar_from_json_schema(grammar.text, overrides=bounded))
            case "regex":
                return str(LLMatcher.grammar_from_regex(grammar.text))
            case "grammar":
                return str(LLMatcher.grammar_from_lark(grammar.text))
    except ValueError as error:
        raise InvalidRequest(f"The {grammar.kind} is not valid: {error}.", grammar.param, "invalid_value") from error


class Constraint:
    """Free while the model thinks, then bound. `broken` says why it can no longer be kept to."""

    def __init__(
        self,
        matcher: LLMatcher,
        tokens: LLTokenizer,
        think_start: int | None,
        think_end: tuple[int, ...],
        in_reasoning: bool,
    ):
        self._matcher = matcher
        self._words = np.zeros((1, -(-tokens.vocab_size // WORD_BITS)), dtype=np.int32)
        self._ends = tuple(tokens.eos_tokens)
        self._think_start = think_start
        self._think_end = think_end
        self._thinking = in_reasoning
        self._latest: tuple[int, ...] = ()
        self.broken: str | None = None

    def __deepcopy__(self, memo: object) -> Constraint:
        """mlx-lm copies a prompt's batch to split it (0.32), and drops the other half of each copy."""
        return self

    def consume(self, token: int) -> None:
        """The token that was sampled last."""
        if self._thinking:
            self._latest = (*self._latest, token)[-len(self._think_end) :]
            self._thinking = self._latest != self._think_end
        elif token == self._think_start:
            self._thinking, self._think_start = True, None
        else:
            self._think_start = None
            self._advance(token)

    def _advance(self, token: int) -> None:
        """After its end a batch still samples once: that token does not count."""
        if not self._matcher.is_stopped() and not self._matcher.consume_token(token):
            self.broken = self._matcher.get_error() or "a token outside of the grammar was sampled"

    def fill(self, words: NDArray[np.int32]) -> None:
        """Set the bit of each token that may come next. Words beyond the tokenizer's vocabulary stay zero."""
        if self._thinking or self.broken:
            words[:] = EVERYTHING
            for token in self._ends:  # a thought is not an answer
                words.view(np.uint32)[token // WORD_BITS] &= ~np.uint32(1 << token % WORD_BITS)
            return
        fill_next_token_bitmask(self._matcher, self._words, 0)
        known = min(len(words), self._words.shape[1])
        words[:known] = self._words[0, :known]
        if self._think_start is not None:
            words.view(np.uint32)[self._think_start // WORD_BITS] |= np.uint32(1 << self._think_start % WORD_BITS)
