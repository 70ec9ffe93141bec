"""Markdown of models, made into HTML that is safe to show. Knows text only: no flask, no conversations.

Two walls: markdown-it escapes raw HTML, and nh3 lets pass only the tags and attributes named here. No
attribute that htmx reads survives, so what a model writes cannot make the page do anything.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# Pictures are not fetched: their address could carry the conversation to a stranger.
TAGS = {
    "a",
    "blockquote",
    "br",
    "button",
    "code",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
}
ATTRIBUTES = {
    "*": {"dir"},
    "a": {"href", "title"},
    "button": {"class", "type"},
    "code": {"class"},
    "div": {"class", "tabindex"},
    "figure": {"class"},
    "ol": {"start"},
    "pre": {"class", "tabindex"},
    "span": {"class"},
}
SCHEMES = {"http", "https", "mailto"}
LONGEST_HIGHLIGHTED = 40_000


def _colour(code: str, language: str, attributes: str) -> str:
    if not language or len(code) > LONGEST_HIGHLIGHTED:
        return html.escape(code)
    try:
        return str(highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True)))
    except ClassNotFound:
        return html.escape(code)


def coloured(code: str, language: str) -> str:
    """Return code as safe, highlighted markup, as in an answer."""
    return _colour(code, language, "")


def _plain(code: str, language: str, attributes: str) -> str:
    return html.escape(code)


def _fence(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Render a code block in a frame that names its language and has a copy button."""
    token = tokens[index]
    language = (token.info.strip().split() or [""])[0]
    code = options.highlight(token.content, language, "") if options.highlight else html.escape(token.content)
    return (
        f'<figure class="code"><figcaption><span>{html.escape(language) or "text"}</span>'
        '<button type="button" class="quiet copy-code">Copy</button></figcaption>'
        f'<pre tabindex="0"><code>{code}</code></pre></figure>\n'
    )


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    label = html.escape(token.content or "picture")
    return f'<a href="{html.escape(str(token.attrGet("src") or ""))}">{label}</a>'


def _heading(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Lower a heading's level: an answer's headings come below the page's h1 and the turn's h2."""
    token = tokens[index]
    level = min(6, int(token.tag[1]) + 2)
    return f"<h{level}{self.renderAttrs(token)}>" if token.nesting == 1 else f"</h{level}>\n"


def _table_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f'<div class="wide" tabindex="0"{self.renderAttrs(tokens[index])}><table>\n'


def _table_close(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return "</table></div>\n"


def _direct(state: StateCore) -> None:
    """Set the direction of each block whose first letter is of a right-to-left script."""
    block: Token | None = None
    for token in state.tokens:
        if token.level == 0 and token.nesting == 1:
            block = token
        elif block and token.type == "inline" and (direction := _direction(token.content)):
            if direction == "rtl":
                block.attrSet("dir", direction)
            block = None


def _direction(text: str) -> str | None:
    for letter in text:
        match unicodedata.bidirectional(letter):
            case "L":
                return "ltr"
            case "R" | "AL":
                return "rtl"
    return None


@lru_cache(maxsize=2)
def _parser(coloured: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _colour if coloured else _plain})
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.push("direct", _direct)
    for rule in ("fence", "code_block"):
        parser.add_render_rule(rule, _fence)
    for rule in ("heading_open", "heading_close"):
        parser.add_render_rule(rule, _heading)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    return parser


def _clean(markup: str) -> str:
    return nh3.clean(
        markup, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer nofollow"
    )


@lru_cache(maxsize=512)
def render(text: str) -> str:
    """Return the HTML of a whole text, as the page shows a finished answer."""
    return _clean(_parser(True).render(text))


class GrowingMarkdown:
    """Renders a growing text: each finished block once, and the open tail after every piece.

    A link defined later, or a list that turns loose, is only right in `render` of the whole at the end.
    """

    def __init__(self) -> None:
        self._pending = ""

    def feed(self, piece: str) -> tuple[str, str]:
        """Return the HTML of the blocks that this piece finished (or ''), and of the open tail."""
        self._pending += piece
        blocks = [token for token in _parser(False).parse(self._pending) if token.level == 0 and token.map]
        finished = ""
        if len(blocks) > 1 and blocks[-1].map:
            lines = self._pending.split("\n")
            cut = blocks[-1].map[0]
            finished = render("\n".join(lines[:cut]))
            self._pending = "\n".join(lines[cut:])
        return finished, _clean(_parser(False).render(self._pending))
