"""A model's tokenizer: messages to prompt, ids to text. Runs on the request's thread, never the engine's."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any, Protocol, TypeVar

import transformers
from jinja2 import TemplateError
from mlx_lm.generate import TextStateMachine
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tokenizer_utils import load as load_tokenizer

from webapp.engine.mlx.config import eos_ids, read_config
from webapp.engine.sequence import Prompt
from webapp.errors import InvalidRequest, ModelLoadFailed
from webapp.generation import InstalledModel, Message

RENDER_SECONDS = 2.0
TEMPLATE_FAULTS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)

T = TypeVar("T")
Turns = list[dict[str, Any]]


class Detokenizer(Protocol):
    def add_token(self, token: int) -> None: ...
    def finalize(self) -> None: ...
    @property
    def last_segment(self) -> str: ...


class Tokenizer:
    """Thread-safe: holds no state of any request."""

    def __init__(self, wrapper: TokenizerWrapper, eos_ids: frozenset[int], render_seconds: float):
        self._wrapper = wrapper
        self._render_seconds = render_seconds
        self.eos_ids = eos_ids
        self.vocabulary_size = len(wrapper)
        template = wrapper.chat_template or ""
        self._knows_developer = "developer" in template

    @classmethod
    def load(cls, path: Path, eos_ids: Seq[int], render_seconds: float = RENDER_SECONDS) -> Tokenizer:
        """Read the tokenizer files in `path`; never runs code from there."""
        wrapper = load_tokenizer(path, {"trust_remote_code": False}, eos_token_ids=list(eos_ids) or None)
        return cls(wrapper, frozenset(wrapper.eos_token_ids), render_seconds)

    def render(self, messages: Seq[Message], options: Mapping[str, object]) -> Prompt:
        """Messages through the model's chat template. Raises InvalidRequest(messages) when it refuses them."""
        if not self._wrapper.has_chat_template:
            raise InvalidRequest("This model has no chat template; use /v1/completions.", "messages")
        turns = [self._as_dict(message) for message in messages]
        return within(self._render_seconds, lambda: self._render(turns, dict(options)))

    def _render(self, turns: Turns, options: dict[str, object]) -> Prompt:
        text = self._apply(turns, options, add_generation_prompt=True)
        tokens = tuple(self.encode(text))
        start = self._wrapper.think_start
        return Prompt(
            tokens,
            self._checkpoints(turns, options, text, len(tokens)),
            in_reasoning=start is not None and text.rstrip().endswith(start),
        )

    def _checkpoints(self, turns: Turns, options: dict[str, object], text: str, size: int) -> tuple[int, ...]:
        """Where other prompts will part from this one: after the system message, and before the answer."""
        ends: set[int] = set()
        try:
            if turns[0]["role"] == "system" and len(turns) > 1:
                opening = self._apply(turns[:1], options, add_generation_prompt=False)
                if text.startswith(opening):
                    ends.add(len(self.encode(opening)))
            history = self._apply(turns, options, add_generation_prompt=False)
            if text.startswith(history) and len(history) < len(text):
                ends.add(size - len(self.encode(text[len(history) :])))
        except InvalidRequest:
            pass  # a template may demand a user turn: then there is no such place
        return tuple(sorted(end for end in ends if 0 < end < size))

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
            raise InvalidRequest(f"The model's chat template refuses these messages: {error}", "messages") from error

    def _as_dict(self, message: Message) -> dict[str, Any]:
        role = message.role
        if role == "developer" and not self._knows_developer:
            role = "system"
        turn: dict[str, Any] = {"role": role, "content": message.content}
        if message.name is not None:
            turn["name"] = message.name
        if message.tool_call_id is not None:
            turn["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            turn["tool_calls"] = [dict(call) for call in message.tool_calls]
        return turn

    def tokens(self, prompt: str | Seq[int]) -> list[int]:
        """A raw prompt as ids, with what the model wants at its start. Raises InvalidRequest(prompt)."""
        if isinstance(prompt, str):
            return list(self._wrapper.encode(prompt))
        for index, token in enumerate(prompt):
            if not 0 <= token < self.vocabulary_size:
                raise InvalidRequest(f"{token} is not a token of this model.", f"prompt[{index}]")
        return list(prompt)

    def encode(self, text: str) -> list[int]:
        """Rendered text as ids: special tokens count where the text holds them, none are added."""
        return list(self._wrapper.encode(text, add_special_tokens=False))

    def decode(self, tokens: Seq[int]) -> str:
        return str(self._wrapper.decode(list(tokens)))

    def detokenizer(self) -> Detokenizer:
        """A fresh one, for one answer."""
        return self._wrapper.detokenizer

    def text_machine(self, stop: Seq[str], thinks: bool) -> TextStateMachine:
        """Ends (state None) at a stop string, which is stripped; in a chat also tells reasoning from answer."""
        transitions: dict[str, list[tuple[str, str | None]]] = {"normal": [(text, None) for text in stop]}
        if thinks and self._wrapper.has_thinking:
            transitions["normal"].append((self._wrapper.think_start, "reasoning"))
            transitions["reasoning"] = [(self._wrapper.think_end, "normal")]
        return TextStateMachine(transitions)


class _Late(BaseException):
    """Injected into a template that runs too long."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run `work` on a thread of its own, which is broken off after `seconds`.

    A chat template is a program from a model folder; only an exception injected between its
    bytecodes stops it. Raises InvalidRequest when it is late.
    """
    outcome: list[T] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            outcome.append(work())
        except (InvalidRequest, MemoryError) as error:
            failure.append(error)
        except _Late:
            pass

    thread = threading.Thread(target=run, name="render", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Late))
    if outcome:
        return outcome[0]
    if failure:
        raise InvalidRequest(str(failure[0]) or "The chat template failed.", "messages") from failure[0]
    raise InvalidRequest(f"The model's chat template took longer than {seconds:g} s.", "messages")


class Tokenizers:
    """One tokenizer per model folder, read when first asked for. Thread-safe."""

    def __init__(self) -> None:
        # It warns about every prompt above the context, which Hearth refuses by name.
        transformers.logging.set_verbosity_error()
        self._known: dict[Path, Tokenizer] = {}
        self._lock = threading.Lock()

    def of(self, model: InstalledModel) -> Tokenizer:
        if known := self._known.get(model.path):
            return known
        with self._lock:
            if model.path not in self._known:
                self._known[model.path] = self._read(model)
            return self._known[model.path]

    def _read(self, model: InstalledModel) -> Tokenizer:
        try:
            return Tokenizer.load(model.path, eos_ids(model.path, read_config(model.path)))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelLoadFailed(f"The tokenizer of '{model.id}' cannot be read: {error}") from error
