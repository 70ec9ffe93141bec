"""A model's tokenizer: messages to prompt, ids to text. Runs on the request's thread, never the engine's."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import transformers
from jinja2 import TemplateError
from mlx_lm.generate import TextStateMachine
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tokenizer_utils import load as load_tokenizer

from webapp.engine.client.output import Detokenizer
from webapp.engine.client.tool_calls import CallFormat
from webapp.engine.mlx.config import eos_ids, read_config
from webapp.engine.mlx.grammar.calls.schemas import as_read
from webapp.engine.mlx.grammar.matcher import Grammars, Matched
from webapp.engine.mlx.prompts.deadline import within
from webapp.engine.mlx.prompts.template import TemplateOptions, names_read
from webapp.engine.mlx.prompts.turns import Turns, beginning, gathered, name_results, turn_of, without_empty_end
from webapp.engine.sequence import Prompt
from webapp.errors import ContextLengthExceeded, InvalidRequest, ModelLoadFailed, Place, UnsupportedParameter
from webapp.generation import GenerationRequest, InstalledModel, Message, Tool

MESSAGES: Place = ("messages",)
RENDER_SECONDS = 2.0
ENCODE_SECONDS = 10.0
PARSE_SECONDS = 2.0
COMPILE_SECONDS = 10.0
# Where an answer that has begun ends. Its space tells whether the template trims what it is given.
END_MARK = "\ue000\ue001 "
# More than one token may spell a letter, but no more than this.
LONGEST_LETTER = 4
TEMPLATE_FAULTS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Tokenizer:
    """Thread-safe: holds no state of any request."""

    def __init__(self, wrapper: TokenizerWrapper, eos_ids: frozenset[int], render_seconds: float):
        self._wrapper = wrapper
        self._render_seconds = render_seconds
        self.eos_ids = eos_ids
        self.vocabulary_size = len(wrapper)
        self._longest_token = max(map(len, wrapper.get_vocab()))
        template = wrapper.chat_template or ""
        self._knows_developer = "developer" in template
        self._knows_tools = "tools" in template or wrapper._chat_template is not None
        self._wants_short_ids = "|length != 9" in template

    @classmethod
    def load(cls, path: Path, eos_ids: Seq[int], render_seconds: float = RENDER_SECONDS) -> Tokenizer:
        """Read the tokenizer files in `path`; never runs code from there."""
        wrapper = load_tokenizer(path, {"trust_remote_code": False}, eos_token_ids=list(eos_ids) or None)
        return cls(wrapper, frozenset(wrapper.eos_token_ids), render_seconds)

    def render(
        self, messages: Seq[Message], options: Mapping[str, object], context_length: int, tools: Seq[Tool] = ()
    ) -> Prompt:
        """Messages, and the tools that the model may call, through its chat template.

        Raises InvalidRequest(messages) when it refuses them, ContextLengthExceeded(messages) when they cannot fit,
        UnsupportedParameter(tools) when the model has no way of calling any.
        """
        if not self._wrapper.has_chat_template:
            raise InvalidRequest("This model has no chat template; use /v1/completions.", place=MESSAGES)
        given = [turn_of(message, self._knows_developer, self._wants_short_ids) for message in messages]
        turns = without_empty_end(given)
        name_results(turns)
        begun = beginning(turns)
        options = {**options, "tools": self._offer(tools)} if tools else dict(options)
        try:
            text, beginnings = within(self._render_seconds, lambda: self._texts(turns, options, begun))
        except TimeoutError as error:
            message = f"The model's chat template took longer than {self._render_seconds:g} s."
            raise InvalidRequest(message, place=MESSAGES) from error
        tokens = self._encode(text, context_length, MESSAGES, special=False)
        # Special tokens stand at the borders of turns, so the rest of a text has the rest of its tokens.
        ends = {len(tokens) - len(self.encode(text[len(start) :])) for start in beginnings if text.startswith(start)}
        checkpoints = tuple(sorted(end for end in ends if 0 < end < len(tokens)))
        return Prompt(tuple(tokens), checkpoints, self._leaves_thought_open(text, begun), open_ended=bool(begun))

    def raw(
        self, prompt: str | Seq[int], context_length: int, *, place: Place = ("prompt", 0), special: bool = True
    ) -> Prompt:
        """A prompt without a template, with what the model wants at its start. Raises InvalidRequest(place)."""
        if isinstance(prompt, str):
            return Prompt(tuple(self._encode(prompt, context_length, place, special)), open_ended=True)
        for index, token in enumerate(prompt):
            if not 0 <= token < self.vocabulary_size:
                raise InvalidRequest(f"{token} is not a token of this model.", place=(*place, index))
        return Prompt(tuple(prompt), open_ended=True)

    def _encode(self, text: str, context_length: int, place: Place, special: bool) -> list[int]:
        """Text to ids, unless it is so long that it cannot fit or takes for ever."""
        fewest = len(text) // self._longest_token
        if fewest >= context_length:
            raise ContextLengthExceeded(fewest, context_length, place)
        try:
            return within(ENCODE_SECONDS, lambda: list(self._wrapper.encode(text, add_special_tokens=special)))
        except TimeoutError as error:
            raise InvalidRequest(f"Tokenizing took longer than {ENCODE_SECONDS:g} s.", place=place) from error

    def _texts(self, turns: Turns, options: dict[str, object], begun: str) -> tuple[str, list[str]]:
        """The turns as they stand, or gathered for a template that refuses them so."""
        try:
            return self._rendered(turns, options, begun)
        except InvalidRequest:
            fewer = gathered(turns)
            if fewer == turns:
                raise
            return self._rendered(fewer, options, begun)

    def _rendered(self, turns: Turns, options: dict[str, object], begun: str) -> tuple[str, list[str]]:
        """The rendered prompt, and its beginnings that other prompts will share: system message, history."""
        history = turns[:-1] if begun else turns
        text = self._begun(turns, options) if begun else self._apply(turns, options, add_generation_prompt=True)
        shared = [part for part in (turns[:1] if turns[0]["role"] == "system" else [], history) if part]
        return text, [beginning for part in shared for beginning in self._beginnings(part, options)]

    def _beginnings(self, part: Turns, options: dict[str, object]) -> list[str]:
        """One; or none of a template that demands a user's turn."""
        try:
            return [self._apply(part, options, add_generation_prompt=False)]
        except InvalidRequest:
            return []

    def _begun(self, turns: Turns, options: dict[str, object]) -> str:
        """The prompt up to where the last message breaks off, without what the template closes it with."""
        *history, last = turns
        marked = [*history, {**last, "content": last["content"] + END_MARK}]
        text = self._apply(marked, options, add_generation_prompt=False)
        before, found, after = text.rpartition(END_MARK.rstrip())
        if not found:
            raise InvalidRequest("This model's chat template leaves no answer to go on with.", place=MESSAGES)
        return before if after.startswith(" ") else before.rstrip()

    def _leaves_thought_open(self, text: str, begun: str) -> bool:
        """An answer that has begun is no thought, unless it is the beginning of one."""
        start, end = self._wrapper.think_start, self._wrapper.think_end
        if start is None:
            return False
        return begun.rfind(start) > begun.rfind(end) if begun else text.rstrip().endswith(start)

    def _apply(self, turns: Turns, options: dict[str, object], add_generation_prompt: bool) -> str:
        # The wrapper turns thinking on unless told otherwise (mlx-lm 0.32): unasked, the model's own default counts.
        unasked = "enable_thinking" not in options and self._wrapper._chat_template is None
        tokenizer = self._wrapper._tokenizer if unasked else self._wrapper
        try:
            return str(
                tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=add_generation_prompt, **options
                )
            )
        except TEMPLATE_FAULTS as error:
            message = f"The model's chat template refuses these messages: {error}"
            raise InvalidRequest(message, place=MESSAGES) from error

    def _offer(self, tools: Seq[Tool]) -> list[dict[str, Any]]:
        if not self._knows_tools:
            raise UnsupportedParameter("This model's chat template knows no tools.", place=("tools",))
        if not self._wrapper.has_tool_calling:
            message = (
                "This model's chat template knows tools, but Hearth cannot read the calls that such a model writes."
            )
            raise UnsupportedParameter(message, place=("tools",))
        return [_as_offer(tool) for tool in tools]

    def encode(self, text: str) -> list[int]:
        """Rendered text as ids: special tokens count where the text holds them, none are added."""
        return list(self._wrapper.encode(text, add_special_tokens=False))

    def decode(self, tokens: Seq[int]) -> str:
        return str(self._wrapper.decode(list(tokens)))

    def spell(self, token: int) -> bytes:
        """The bytes of one token, which may be a part of a letter."""
        return self._grammars.spell(token)

    def detokenizer(self, prompt: Prompt) -> Detokenizer:
        """A fresh one, for one answer. It drops a space in front of its text, which must not be lost inside of one."""
        fresh: Detokenizer = self._wrapper.detokenizer
        if prompt.open_ended:
            for token in self._last_letter(prompt.tokens):
                fresh.add_token(token)
            _ = fresh.last_segment
        return fresh

    def _last_letter(self, tokens: Seq[int]) -> Seq[int]:
        """The last tokens that spell whole letters."""
        ends = (tokens[-count:] for count in range(1, LONGEST_LETTER + 1))
        return next((end for end in ends if "\ufffd" not in self.decode(end)), ())

    @cached_property
    def options(self) -> TemplateOptions:
        """What the chat template can be told."""
        return TemplateOptions(names_read(self._wrapper), self._opens_thought)

    def _opens_thought(self) -> bool:
        """Whether a prompt ends inside a thought though nobody asked for one."""
        try:
            return self.render([Message.of("user", "?")], {}, sys.maxsize).in_reasoning
        except InvalidRequest:
            return False

    def constraint(
        self, request: GenerationRequest, prompt: Prompt, template_options: Mapping[str, object]
    ) -> Matched | None:
        """What keeps an answer to the grammar or the calls that a request insists on.

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
            return within(COMPILE_SECONDS, lambda: self._grammars.compile(request, prompt.in_reasoning, may_think))
        except TimeoutError as error:
            place = ("grammar",) if request.grammar else ("tools",)
            message = f"The grammar took longer than {COMPILE_SECONDS:g} s to prepare."
            raise InvalidRequest(message, place=place) from error

    @cached_property
    def _grammars(self) -> Grammars:
        """Reading the vocabulary takes up to a second: only for those who need it."""
        try:
            return Grammars(self._wrapper)
        except ValueError as error:  # llguidance reads fast tokenizers only
            message = f"This model's tokenizer cannot be looked into: {error}."
            raise UnsupportedParameter(message, place=("model",)) from error

    def check_bias(self, bias: Seq[tuple[int, float]]) -> None:
        for token, _ in bias:
            if token >= self.vocabulary_size:
                message = f"{token} is not a token of this model."
                raise InvalidRequest(message, code="invalid_value", place=("logit_bias", token))

    def call_format(self, tools: Seq[Tool]) -> CallFormat:
        """How this model writes calls of these tools, which `render` has accepted.

        Some of mlx-lm's regular expressions (0.32) take minutes over words that a model repeats for ever.
        """
        wrapper = self._wrapper
        offered = [_as_offer(replace(tool, parameters=as_read(tool.parameters))) for tool in tools]

        def parse(written: str) -> object:
            return within(PARSE_SECONDS, lambda: wrapper.tool_parser(written, offered))

        return CallFormat(wrapper.tool_call_start, wrapper.tool_call_end, parse)

    def text_machine(self, stop: Seq[str], thinks: bool, calls: CallFormat | None = None) -> TextStateMachine:
        """Ends (state None) at a stop string, which is stripped; in a chat also tells reasoning and calls apart.

        What a model thinks about calling is no call. A format without an end marker ends a call where the next begins.
        """
        transitions: dict[str, list[tuple[str, str | None]]] = {"normal": [(text, None) for text in stop]}
        if thinks and self._wrapper.has_thinking:
            transitions["normal"].append((self._wrapper.think_start, "reasoning"))
            transitions["reasoning"] = [(self._wrapper.think_end, "normal")]
        if calls:
            transitions["normal"].append((calls.start, "tool"))
            transitions["tool"] = [(calls.end, "normal") if calls.end else (calls.start, "tool")]
        return TextStateMachine(transitions)


def _as_offer(tool: Tool) -> dict[str, Any]:
    """As templates and parsers know it."""
    described = {} if tool.description is None else {"description": tool.description}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": dict(tool.parameters)}}


class Tokenizers:
    """One tokenizer per model folder, read when first asked for. Thread-safe."""

    def __init__(self) -> None:
        # It warns about every prompt above the context, which Hearth refuses by name.
        transformers.logging.set_verbosity_error()
        self._known: dict[tuple[Path, int], Tokenizer] = {}
        self._lock = threading.Lock()

    def of(self, model: InstalledModel) -> Tokenizer:
        key = (model.path, model.created)
        if known := self._known.get(key):
            return known
        with self._lock:
            if key not in self._known:
                self._known[key] = self._read(model)
            return self._known[key]

    def _read(self, model: InstalledModel) -> Tokenizer:
        try:
            return Tokenizer.load(model.path, eos_ids(model.path, read_config(model.path)))
        except Exception as error:
            raise ModelLoadFailed(f"The tokenizer of '{model.id}' cannot be read: {error}") from error
