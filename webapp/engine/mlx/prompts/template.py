"""What a model's chat template can be told: the names that it reads, and what an effort comes to among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from jinja2 import TemplateError, meta, nodes
from mlx_lm.tokenizer_utils import TokenizerWrapper
from transformers.utils.chat_template_utils import _compile_jinja_template

from webapp.errors import Place, UnsupportedParameter
from webapp.generation import RESERVED_OPTIONS, GenerationRequest, Level

# What families call the switch of their thinking; clients say the first, whatever the template does.
SWITCHES = ("enable_thinking", "thinking")
LEVEL = "reasoning_effort"
ASKING = frozenset({"defined", "undefined", "none", "default", "d"})


class TemplateOptions:
    """`names` are those that the template reads; `opens_thought` says whether its prompts begin a thought unasked."""

    def __init__(self, names: frozenset[str], opens_thought: Callable[[], bool]):
        self.names = names
        self._opens_thought = opens_thought
        self._switch = next((name for name in SWITCHES if name in names), None)

    def chosen(self, request: GenerationRequest) -> Mapping[str, object]:
        """What the template is told for a request; its options win over its effort, name by name.

        Raises UnsupportedParameter for what the template does not know, unless that is what happens anyway.
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
        """Without a `place` nobody insists."""
        if self._switch:
            return {self._switch: wanted}
        if place is not None and wanted != self._opens_thought():
            reason = "cannot make it think" if wanted else "makes it think always"
            raise UnsupportedParameter(f"This model's chat template {reason}{self._known}.", place=place)
        return {}

    @property
    def _known(self) -> str:
        return f"; it reads {', '.join(sorted(self.names))}" if self.names else ""


def names_read(wrapper: TokenizerWrapper) -> frozenset[str]:
    """The names that whoever renders may set. Those that Hearth and the tokenizer set themselves are not among them."""
    if wrapper._chat_template is not None:  # one of mlx-lm's own in Python (0.32)
        return frozenset({SWITCHES[0]})
    template = wrapper.chat_template or ()
    sources = template.values() if isinstance(template, dict) else [template] if isinstance(template, str) else ()
    found = {name for source in sources for name in _undeclared(source)}
    return frozenset(name for name in found - RESERVED_OPTIONS if not name.endswith(("_token", "_tokens")))


def _undeclared(source: str) -> Iterable[str]:
    """Jinja takes a name for undeclared that is set in one branch only: such a one must be asked about, too."""
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
