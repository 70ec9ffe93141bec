"""What a model writes becomes HTML that can do nothing."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.pages.drawing.markdown import ATTRIBUTES, TAGS, GrowingMarkdown, render

TEXT = """# Title

A *warm* text with `code`, a [link](https://example.org "there") and ~~no~~ lies.

- one
- two

1. first
2. second

```python
def f(x):
    return x + 1  # <script>
```

| a | b |
|---|---|
| 1 | 2 |

> A quote.

The end.
"""


def test_common_markdown_is_rendered() -> None:
    html = render(TEXT)
    for part in ("<h3>Title</h3>", "<em>warm</em>", "<ol>", "<table>", "<blockquote>", "<s>no</s>"):
        assert part in html
    assert 'href="https://example.org"' in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_code_is_highlighted_named_and_can_be_copied() -> None:
    html = render(TEXT)
    assert "<span>python</span>" in html
    assert 'class="k">def' in html
    assert "copy-code" in html
    assert "&lt;script&gt;" in html


def test_code_in_an_unknown_language_is_shown_plain() -> None:
    assert "<code>x &lt; y\n</code>" in render("```nonesuch\nx < y\n```")


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![cat](https://example.org/steal?q=secret)",
        "[click](javascript:alert(1))",
        "[click](JaVaScRiPt:alert(1))",
        "[click](data:text/html;base64,PHNjcmlwdD4=)",
        "[click](vbscript:x)",
        '<a href="#" hx-get="/settings" hx-trigger="load">x</a>',
        '<div data-hx-post="/chat/x/delete" hx-trigger="load"></div>',
        '<hx-partial hx-target="body" hx-swap="innerHTML">gone</hx-partial>',
        '<template hx type="partial" hx-target="body">gone</template>',
        '<p style="position:fixed" id="composer" onclick="x()">x</p>',
        "<style>body{display:none}</style>",
        "<svg onload=alert(1)>",
        "<iframe src=//example.org>",
        '<form action="/chat"><input name=text></form>',
        "```<img src=x onerror=alert(1)>\ncode\n```",
        '[x](https://example.org "a\\" onmouseover=alert(1)")',
        '```html" onclick="alert(1)\ncode\n```',
    ],
)
def test_evil_markdown_is_only_text(evil: str) -> None:
    grown = GrowingMarkdown()
    for html in (render(evil), grown.feed(evil)[1]):
        assert only_what_is_allowed(html)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("<>\"'=`*_#-|[]()!&;:/ \n\tahxonsrcpt123")), max_size=120))
def test_no_text_whatever_leaves_the_allowed_tags(text: str) -> None:
    assert only_what_is_allowed(render(text))


def only_what_is_allowed(html: str) -> bool:
    for tag, attributes in re.findall(r"<([a-z][a-z0-9-]*)((?:\s+[^<>]*)?)>", html):
        names = set(re.findall(r'([a-z:-]+)="[^"]*"', attributes))
        if tag not in TAGS or names - ATTRIBUTES.get(tag, set()) - ATTRIBUTES["*"] - {"rel"}:
            return False
    return not re.search(r'href="(?!https?:|mailto:|/|#|[^:"]*")', html)


def test_a_block_runs_from_the_side_on_which_its_script_begins() -> None:
    assert render("1. **مرحبا** Ada\n\nHello, שלום\n\n## שלום") == (
        '<ol dir="rtl">\n<li><strong>مرحبا</strong> Ada</li>\n</ol>\n<p>Hello, שלום</p>\n<h4 dir="rtl">שלום</h4>\n'
    )
    assert '<div class="wide" tabindex="0" dir="rtl"><table>' in render("| سؤال |\n|---|\n| a |")


@pytest.mark.parametrize("size", [1, 3, 17])
def test_growing_text_ends_as_the_whole_text(size: int) -> None:
    growing, done, tail = GrowingMarkdown(), "", ""
    for start in range(0, len(TEXT), size):
        finished, tail = growing.feed(TEXT[start : start + size])
        done += finished
    assert (done + tail).replace("\n", "") == render(TEXT).replace("\n", "")


def test_an_open_code_block_is_code_from_its_first_line() -> None:
    _, tail = GrowingMarkdown().feed("Look:\n\n```python\nprint(1)")
    assert '<figure class="code">' in tail


def test_growing_costs_the_same_at_any_length() -> None:
    growing, spent = GrowingMarkdown(), []
    for start in range(0, len(TEXT * 40), 24):
        began = time.perf_counter()
        growing.feed((TEXT * 40)[start : start + 24])
        spent.append(time.perf_counter() - began)
    early, late = sorted(spent[: len(spent) // 4]), sorted(spent[-len(spent) // 4 :])
    assert late[len(late) // 2] < 5 * early[len(early) // 2]
