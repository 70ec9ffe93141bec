"""A model's chat template: renders messages, finds the names it reads, and turns an effort into its options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError, meta, nodes
from mlx_lm.tokenizer_utils import TokenizerWrapper
from transformers.utils.chat_template_utils import _compile_jinja_template

from webapp.engine.mlx.prompts.deadline import within
from webapp.engine.mlx.prompts.formats import as_offer
from webapp.engine.mlx.prompts.once import Once
from webapp.engine.mlx.prompts.turns import Turns, beginning, gathered, name_results, turn_of, without_empty_end
from webapp.errors import InvalidRequest, Place, UnsupportedParameter
from webapp.generation import RESERVED_OPTIONS, GenerationRequest, Level, Message, Tool

MESSAGES: Place = ("messages",)
# Marks the end of an answer that has begun. Its space shows whether the template trims its messages.
END_MARK = "\ue000\ue001 "
TEMPLATE_FAULTS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
# The names that families use for switching thought on; clients send the first, whatever the template reads.
SWITCHES = ("enable_thinking", "thinking")
LEVEL = "reasoning_effort"
ASKING = frozenset({"defined", "undefined", "none", "default", "d"})


@dataclass(frozen=True, slots=True)
class Rendered:
    """Messages as text. `begun`: the answer's own beginning, which the text ends with.

    `beginnings` of the text are those that other prompts will share: system message, history.
    """

    text: str
    begun: str
    beginnings: tuple[str, ...]


class Template:
    """Renders messages. Thread-safe. A template is a program from a model folder: it may refuse, fail, or never end."""

    def __init__(self, wrapper: TokenizerWrapper, seconds: float):
        self._wrapper = wrapper
        self._seconds = seconds
        source = wrapper.chat_template or ""
        self._knows_developer = "developer" in source
        self._knows_tools = "tools" in source or wrapper._chat_template is not None
        self._wants_short_ids = "|length != 9" in source

    def render(
        self, messages: Seq[Message], options: Mapping[str, object], tools: Seq[Tool], with_beginnings: bool
    ) -> Rendered:
        """Render messages and the tools that the model may call, all under one deadline.

        If it passes while the beginnings are rendered, there are none.
        Raises InvalidRequest(messages) when the template refuses them, and UnsupportedParameter(tools) when the model
        has no way of calling any.
        """
        if not self._wrapper.has_chat_template:
            raise InvalidRequest("This model has no chat template; use /v1/completions.", place=MESSAGES)
        turns = without_empty_end(
            [turn_of(message, self._knows_developer, self._wants_short_ids) for message in messages]
        )
        name_results(turns)
        options = {**options, "tools": self._offer(tools)} if tools else dict(options)
        begun = beginning(turns)
        texts: list[str] = []

        def work() -> tuple[str, ...]:
            text, taken = self._text(turns, options, begun)
            texts.append(text)
            shared = self._beginnings(taken[:-1] if begun else taken, options) if with_beginnings else ()
            return tuple(start for start in shared if text.startswith(start))

        try:
            beginnings = within(self._seconds, work)
        except TimeoutError as error:
            if not texts:
                message = f"The model's chat template took longer than {self._seconds:g} s."
                raise InvalidRequest(message, place=MESSAGES) from error
            beginnings = ()
        return Rendered(texts[0], begun, beginnings)

    def _text(self, turns: Turns, options: dict[str, object], begun: str) -> tuple[str, Turns]:
        """The text of the turns, `gathered` if the template refuses them as they are; and the turns that it took."""
        try:
            return self._whole(turns, options, begun), turns
        except InvalidRequest:
            fewer = gathered(turns)
            if fewer == turns:
                raise
            return self._whole(fewer, options, begun), fewer

    def _whole(self, turns: Turns, options: dict[str, object], begun: str) -> str:
        return self._begun(turns, options) if begun else self._apply(turns, options, add_generation_prompt=True)

    def _beginnings(self, history: Turns, options: dict[str, object]) -> Iterator[str]:
        """The texts of the system message, unless the template demands a user's turn, and of the history."""
        instructions = history[:1] if history and history[0]["role"] == "system" else []
        for part in (instructions, history):
            try:
                if part:
                    yield self._apply(part, options, add_generation_prompt=False)
            except InvalidRequest:
                pass

    def _begun(self, turns: Turns, options: dict[str, object]) -> str:
        """The prompt up to the end of the last message's text, without what the template writes to close it."""
        *history, last = turns
        marked = [*history, {**last, "content": last["content"] + END_MARK}]
        text = self._apply(marked, options, add_generation_prompt=False)
        before, found, after = text.rpartition(END_MARK.rstrip())
        if not found:
            raise InvalidRequest("This model's chat template leaves no answer to go on with.", place=MESSAGES)
        return before if after.startswith(" ") else before.rstrip()

    def _apply(self, turns: Turns, options: dict[str, object], add_generation_prompt: bool) -> str:
        # The wrapper turns thinking on by default (mlx-lm 0.32): without a choice the model's own default must count.
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
        return [as_offer(tool) for tool in tools]


class TemplateOptions:
    """`names` are those that the template reads; `opens_thought`: whether its prompts begin a thought by default."""

    def __init__(self, names: frozenset[str], opens_thought: Callable[[], bool]):
        self.names = names
        self._opens_thought = Once(opens_thought)
        self._switch = next((name for name in SWITCHES if name in names), None)

    def chosen(self, request: GenerationRequest) -> Mapping[str, object]:
        """The options that the template gets for a request; the request's options win over its effort, name by name.

        Raises UnsupportedParameter for what the template does not know, unless its default does the same.
        """
        chosen = self._of_effort(request.effort) if request.effort else {}
        for name, value in request.template_options.items():
            place = ("options", name) if request.insists_on_options else None
            if name in self.names:
                chosen[name] = value
            elif name == SWITCHES[0]:
                chosen |= self._thinking(bool(value), place)
            elif place is not None:
                raise UnsupportedParameter(f"This model's chat template reads no '{name}'{self._known}.", place=place)
        return chosen

    def may_think(self, options: Mapping[str, object]) -> bool:
        """Whether the model is asked to think."""
        return self._switch is not None and options.get(self._switch) is True

    def _of_effort(self, effort: Level) -> dict[str, object]:
        level: dict[str, object] = {LEVEL: effort} if LEVEL in self.names else {}
        return self._thinking(effort != "none", None if level else ("effort",)) | level

    def _thinking(self, wanted: bool, place: Place | None) -> dict[str, object]:
        """The option that switches thinking. With a `place`, raises if the template has none and does otherwise."""
        if self._switch:
            return {self._switch: wanted}
        if place is not None and wanted != self._opens_thought.get():
            reason = "cannot make it think" if wanted else "makes it think always"
            raise UnsupportedParameter(f"This model's chat template {reason}{self._known}.", place=place)
        return {}

    @property
    def _known(self) -> str:
        return f"; it reads {', '.join(sorted(self.names))}" if self.names else ""


def names_read(wrapper: TokenizerWrapper) -> frozenset[str]:
    """The names a template reads and a request may set, without those that Hearth or the tokenizer sets."""
    if wrapper._chat_template is not None:  # one of mlx-lm's own in Python (0.32)
        return frozenset({SWITCHES[0]})
    template = wrapper.chat_template or ()
    sources = template.values() if isinstance(template, dict) else [template] if isinstance(template, str) else ()
    found = {name for source in sources for name in _undeclared(source)}
    return frozenset(name for name in found - RESERVED_OPTIONS if not name.endswith(("_token", "_tokens")))


def _undeclared(source: str) -> Iterable[str]:
    """The names a template reads from outside. A name set in only one branch counts if it has a default or a test."""
    try:
        # Private (transformers 5.23), but only it knows the tags and functions that templates may use.
        tree = _compile_jinja_template(source).environment.parse(source)
    except TemplateError:
        return ()
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    return meta.find_undeclared_variables(tree) - (stored - set(_asked_about(tree)))


def _asked_about(tree: nodes.Template) -> Iterator[str]:
    """Names with a default of the template's own: `x is defined`, `x | default(1)`, `set x = x or 1`."""
    for asking in tree.find_all((nodes.Test, nodes.Filter)):
        if asking.name in ASKING and isinstance(asking.node, nodes.Name):
            yield asking.node.name
    for setting in tree.find_all(nodes.Assign):
        if isinstance(setting.target, nodes.Name):
            yield from (name.name for name in setting.node.find_all(nodes.Name) if name.name == setting.target.name)
