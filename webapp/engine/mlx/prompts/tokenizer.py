"""A model's tokenizer: turns requests into prompts and ids into text. Never runs on the engine's thread."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from functools import partial
from pathlib import Path

from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tokenizer_utils import load as load_tokenizer

from webapp.engine.client.output import Detokenizer, Splitter
from webapp.engine.client.prepared import Prepared
from webapp.engine.client.tool_calls import CallReader
from webapp.engine.mlx.grammar.matcher import Grammars, Matched
from webapp.engine.mlx.prompts.deadline import within
from webapp.engine.mlx.prompts.formats import Formats
from webapp.engine.mlx.prompts.once import Once
from webapp.engine.mlx.prompts.template import MESSAGES, Template, TemplateOptions, names_read
from webapp.engine.sequence import Prompt
from webapp.errors import ContextLengthExceeded, InvalidRequest, Place, UnsupportedParameter
from webapp.generation import GenerationRequest, Message, Terms

RENDER_SECONDS = 2.0
ENCODE_SECONDS = 10.0
COMPILE_SECONDS = 10.0
# A letter may be spelt by several tokens, at most this many.
LONGEST_LETTER = 4


class MlxTokenizer:
    """A Tokenizer over mlx-lm's. Thread-safe: holds no state of any request."""

    def __init__(
        self,
        wrapper: TokenizerWrapper,
        eos_ids: frozenset[int],
        render_seconds: float = RENDER_SECONDS,
        wants_checkpoints: Callable[[], bool] = lambda: True,
        encode_seconds: float = ENCODE_SECONDS,
    ):
        """`wants_checkpoints`: whether prompts mark the places where their KV is worth storing for others."""
        self._wrapper = wrapper
        self._wants_checkpoints = wants_checkpoints
        self._encode_seconds = encode_seconds
        self._template = Template(wrapper, render_seconds)
        self.formats = Formats(wrapper)
        # None of these holds the tokenizer itself, so that it goes as soon as its last user does.
        self._template_options = Once(partial(_options_of, wrapper, self._template, self.formats))
        self._grammars = Once(partial(_grammars_of, wrapper))
        self.eos_ids = eos_ids
        self.vocabulary_size = len(wrapper)
        self._longest_token = max(map(len, wrapper.get_vocab()))

    @classmethod
    def load(
        cls,
        path: Path,
        eos_ids: Seq[int],
        render_seconds: float = RENDER_SECONDS,
        wants_checkpoints: Callable[[], bool] = lambda: True,
    ) -> MlxTokenizer:
        """Read the tokenizer files in `path`; never runs code from there."""
        wrapper = load_tokenizer(path, {"trust_remote_code": False}, eos_token_ids=list(eos_ids) or None)
        return cls(wrapper, frozenset(wrapper.eos_token_ids), render_seconds, wants_checkpoints)

    def prepare(self, request: GenerationRequest, terms: Terms) -> Prepared:
        """Prepare a request for the engine and for the reader of its answer.

        Raises InvalidRequest, ContextLengthExceeded or UnsupportedParameter, with a place in the request.
        """
        options = self._options(request, terms)
        prompt = self._fitting_prompt(request, terms, options)
        self._check_bias(terms.sampling.logit_bias)
        constraint = self.constraint(request, prompt, options)
        return Prepared(prompt, constraint, self._splitter(request, prompt), self.eos_ids, self.spell)

    def render(self, request: GenerationRequest, terms: Terms) -> Prompt:
        """The prompt made of the messages, at any length."""
        return self._chat_prompt(request, terms, self._options(request, terms), sys.maxsize)

    def raw(
        self, prompt: str | Seq[int], context_length: int, *, place: Place = ("prompt", 0), special: bool = True
    ) -> Prompt:
        """A prompt without a template; see Tokenizer. Raises InvalidRequest(place) or ContextLengthExceeded."""
        if isinstance(prompt, str):
            tokens, _ = self._tokens(prompt, (), context_length, place, special)
            return Prompt(tokens, open_ended=True)
        for index, token in enumerate(prompt):
            if not 0 <= token < self.vocabulary_size:
                raise InvalidRequest(f"{token} is not a token of this model.", place=(*place, index))
        return Prompt(tuple(prompt), open_ended=True)

    def _options(self, request: GenerationRequest, terms: Terms) -> Mapping[str, object]:
        """The options that the template gets: the request's win over the wishes of a profile."""
        return {**terms.template_wishes, **self.options.chosen(request)}

    def _fitting_prompt(self, request: GenerationRequest, terms: Terms, options: Mapping[str, object]) -> Prompt:
        """The request's raw prompt or rendered messages. Raises ContextLengthExceeded without room for an answer."""
        context_length = terms.context_length
        if request.prompt is None:
            place: Place = MESSAGES
            prompt = self._chat_prompt(request, terms, options, context_length)
        else:
            place = ("prompt", request.prompt_index)
            prompt = self.raw(request.prompt, context_length, place=place)
        if not prompt.tokens:
            raise InvalidRequest("The prompt is empty.", place=place)
        if len(prompt.tokens) >= context_length:
            raise ContextLengthExceeded(len(prompt.tokens), context_length, place)
        return prompt

    def _chat_prompt(
        self, request: GenerationRequest, terms: Terms, options: Mapping[str, object], context_length: int
    ) -> Prompt:
        """The template is rendered once, and once more for each checkpoint if those are wanted."""
        rendered = self._template.render(
            terms.messages, options, request.offered_tools, with_beginnings=self._wants_checkpoints()
        )
        rests = tuple(rendered.text[len(start) :] for start in rendered.beginnings)
        tokens, checkpoints = self._tokens(rendered.text, rests, context_length, MESSAGES, special=False)
        in_reasoning = self.formats.leaves_thought_open(rendered.text, rendered.begun)
        return Prompt(tokens, checkpoints, in_reasoning, open_ended=bool(rendered.begun))

    def _tokens(
        self, text: str, rests: Seq[str], context_length: int, place: Place, special: bool
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids of a text, and how many of them stand before each of its `rests`, unless that takes too long.

        Raises ContextLengthExceeded, before tokenizing, for a text so long that it cannot fit, and InvalidRequest for
        one that takes too long itself.
        """
        fewest = len(text) // self._longest_token
        if fewest >= context_length:
            raise ContextLengthExceeded(fewest, context_length, place)

        encoded: list[tuple[int, ...]] = []

        def encode() -> tuple[int, ...]:
            tokens = tuple(self._wrapper.encode(text, add_special_tokens=special))
            encoded.append(tokens)
            # Special tokens stand at the borders of turns, so the rest of a text has the rest of its tokens.
            ends = {len(tokens) - len(self.encode(rest)) for rest in rests}
            return tuple(sorted(end for end in ends if 0 < end < len(tokens)))

        try:
            ends = within(self._encode_seconds, encode)
        except TimeoutError as error:
            if not encoded:
                message = f"Tokenizing took longer than {self._encode_seconds:g} s."
                raise InvalidRequest(message, place=place) from error
            ends = ()
        return encoded[0], ends

    def encode(self, text: str) -> list[int]:
        """Rendered text as ids: special tokens count where the text holds them, none are added."""
        return list(self._wrapper.encode(text, add_special_tokens=False))

    def decode(self, tokens: Seq[int]) -> str:
        return str(self._wrapper.decode(list(tokens)))

    def spell(self, token: int) -> bytes:
        """The bytes of one token, which may be a part of a letter."""
        return self._grammars.get().spell(token)

    def detokenizer(self, prompt: Prompt) -> Detokenizer:
        """A detokenizer for one answer. It drops a leading space, which an `open_ended` prompt's answer must keep."""
        fresh: Detokenizer = self._wrapper.detokenizer
        if prompt.open_ended:
            for token in self._last_letter(prompt.tokens):
                fresh.add_token(token)
            _ = fresh.last_segment
        return fresh

    def _last_letter(self, tokens: Seq[int]) -> Seq[int]:
        """The fewest tokens at the end that spell whole letters."""
        ends = (tokens[-count:] for count in range(1, LONGEST_LETTER + 1))
        return next((end for end in ends if "\ufffd" not in self.decode(end)), ())

    @property
    def options(self) -> TemplateOptions:
        """The options that the chat template knows."""
        return self._template_options.get()

    def _splitter(self, request: GenerationRequest, prompt: Prompt) -> Splitter:
        form = self.formats.calls(request.offered_tools) if request.offered_tools else None
        calls = CallReader(form, request.id, only_one=not request.parallel_tool_calls) if form else None
        machine = self.formats.text_machine(request.stop, request.prompt is None, form, prompt.in_reasoning)
        return Splitter(self.detokenizer(prompt), machine, request.stop, calls)

    def constraint(
        self, request: GenerationRequest, prompt: Prompt, template_options: Mapping[str, object]
    ) -> Matched | None:
        """The constraint for the grammar or the calls that a request insists on, or None.

        A model that is asked to think may do so first.
        Raises UnsupportedParameter and InvalidRequest for a grammar that cannot be enforced.
        """
        if request.grammar is None and not request.insists_on_calls:
            return None
        if prompt.open_ended and request.messages and (request.grammar or request.tool_choice.mode == "required"):
            place = ("grammar",) if request.grammar else ("tool_choice",)
            raise UnsupportedParameter("An answer whose beginning is given cannot be kept to a form.", place=place)
        may_think = self.options.may_think(template_options)
        try:
            return within(
                COMPILE_SECONDS, lambda: self._grammars.get().compile(request, prompt.in_reasoning, may_think)
            )
        except TimeoutError as error:
            place = ("grammar",) if request.grammar else ("tools",)
            message = f"The grammar took longer than {COMPILE_SECONDS:g} s to prepare."
            raise InvalidRequest(message, place=place) from error

    def _check_bias(self, bias: Seq[tuple[int, float]]) -> None:
        for token, _ in bias:
            if token >= self.vocabulary_size:
                message = f"{token} is not a token of this model."
                raise InvalidRequest(message, code="invalid_value", place=("logit_bias", token))


def _options_of(wrapper: TokenizerWrapper, template: Template, formats: Formats) -> TemplateOptions:
    def opens_thought() -> bool:
        """Whether a prompt ends inside a thought by the template's default."""
        try:
            rendered = template.render([Message.of("user", "?")], {}, (), with_beginnings=False)
        except InvalidRequest:
            return False
        return formats.leaves_thought_open(rendered.text, rendered.begun)

    return TemplateOptions(names_read(wrapper), opens_thought)


def _grammars_of(wrapper: TokenizerWrapper) -> Grammars:
    """Grammars over the tokenizer's vocabulary. Reading it takes up to a second, so this runs only when needed."""
    try:
        return Grammars(wrapper)
    except ValueError as error:  # llguidance reads fast tokenizers only
        message = f"This model's tokenizer cannot be looked into: {error}."
        raise UnsupportedParameter(message, place=("model",)) from error
