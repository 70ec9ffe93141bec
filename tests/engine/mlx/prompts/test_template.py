"""What a chat template can be told: its own names, efforts in its own words, and an answer that has begun."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.mlx.conftest import Templated, rendered
from webapp.engine.mlx.prompts.template import TemplateOptions
from webapp.errors import InvalidRequest, Place, UnsupportedParameter
from webapp.generation import GenerationRequest, Level, Message

SAID = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}"
OPENED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
ALWAYS = "{% if add_generation_prompt %}<think>\n{% endif %}"
# In the manner of gpt-oss: a default of its own, in a macro.
LEVELS = "{% macro head() %}{% if not reasoning_effort is defined %}{% set reasoning_effort = 'medium' %}{% endif %}"
LEVELS += "Reasoning: {{ reasoning_effort }} {{ bos_token }}{{ strftime_now('%d') }}{% endmacro %}{{ head() }}"
BRANCHES = "{% for m in messages %}{% if m %}{% set a = m %}{% endif %}{% for x in m %}{{ a }}{% endfor %}{% endfor %}"


def asking(level: Level | None = None, insists: bool = True, **options: Any) -> GenerationRequest:
    return GenerationRequest("r", "m", template_options=options, insists_on_options=insists, effort=level)


@pytest.mark.parametrize(
    "template, names",
    [
        (SAID, set()),
        ("{{ enable_thinking }}{{ tools }}{{ documents }}{{ namespace() }}", {"enable_thinking"}),
        ("{% set date = date or 'x' %}{{ date_string | default('') }}{{ date }}", {"date", "date_string"}),
        (LEVELS, {"reasoning_effort"}),
        (BRANCHES, set()),
        ("{% if messages %}{% set first = messages[0] %}{% endif %}{{ first }}", set()),
        ("{% generation %}{% endgeneration %}{% for m in messages %}{% break %}{% endfor %}{{ x }}", {"x"}),
        ("{% nonsense", set()),
    ],
)
def test_names_are_those_that_a_template_reads_of_others(templated: Templated, template: str, names: set[str]) -> None:
    assert templated(template).options.names == names


@pytest.mark.parametrize(
    "template, asked, told",
    [
        (LEVELS, asking("high"), {"reasoning_effort": "high"}),
        ("{{ enable_thinking }}", asking("minimal"), {"enable_thinking": True}),
        ("{{ enable_thinking }}", asking("none"), {"enable_thinking": False}),
        ("{{ enable_thinking }}", asking("none", enable_thinking=True), {"enable_thinking": True}),
        ("{{ thinking }}", asking("low"), {"thinking": True}),
        ("{{ thinking }}", asking(enable_thinking=False), {"thinking": False}),
        ("{{ thinking }}" + LEVELS, asking("low"), {"thinking": True, "reasoning_effort": "low"}),
        ("{{ budget }}", asking(budget=[1, {"a": 2}]), {"budget": [1, {"a": 2}]}),
        # what happens anyway, and what nobody insists on
        (SAID, asking("none", enable_thinking=False), {}),
        (SAID + ALWAYS, asking("high", enable_thinking=True), {}),
        (SAID, asking(insists=False, enable_thinking=True, budget=1), {}),
    ],
)
def test_a_request_is_put_in_the_templates_words(
    templated: Templated, template: str, asked: GenerationRequest, told: dict[str, object]
) -> None:
    assert templated(template).options.chosen(asked) == told


@pytest.mark.parametrize(
    "template, asked, place",
    [
        (SAID, asking("low"), ("effort",)),
        (SAID, asking(enable_thinking=True), ("options", "enable_thinking")),
        (SAID + ALWAYS, asking("none"), ("effort",)),
        (SAID + ALWAYS, asking(enable_thinking=False), ("options", "enable_thinking")),
        ("{{ budget }}", asking(buget=1), ("options", "buget")),
        (SAID, asking(messages=[]), ("options", "messages")),
        ("{{ bos_token }}", asking(bos_token="x"), ("options", "bos_token")),
    ],
)
def test_what_a_template_does_not_know_is_refused_by_name(
    templated: Templated, template: str, asked: GenerationRequest, place: Place
) -> None:
    with pytest.raises(UnsupportedParameter, match="it reads budget" if "budget" in template else None) as refusal:
        templated(template).options.chosen(asked)
    assert refusal.value.place == place


@pytest.mark.parametrize(
    "template, begun, ends",
    [
        (SAID + OPENED, "So far ", "<|im_start|>assistant\nSo far "),
        (SAID.replace("m.content", "m.content | trim") + OPENED, "So far ", "<|im_start|>assistant\nSo far"),
        (SAID + OPENED, " ", "Hi<|im_end|><|im_start|>assistant\n"),
    ],
    ids=["kept", "trimmed", "empty"],
)
def test_an_answer_that_has_begun_is_left_open(templated: Templated, template: str, begun: str, ends: str) -> None:
    tokenizer = templated(template)
    prompt = rendered(tokenizer, [Message.of("user", "Hi"), Message.of("assistant", begun)])
    assert tokenizer.decode(prompt.tokens).endswith(ends)
    assert tokenizer.decode(prompt.tokens[: prompt.checkpoints[-1]]).endswith("Hi<|im_end|>")
    assert not prompt.in_reasoning


def test_only_a_thought_that_has_begun_is_gone_on_with(templated: Templated) -> None:
    tokenizer = templated(SAID + ALWAYS)
    for begun, thinks in [("<think>hm", True), ("<think>hm</think>yes", False), ("yes", False)]:
        assert rendered(tokenizer, [Message.of("assistant", begun)]).in_reasoning is thinks


def test_a_template_that_shows_no_answers_cannot_go_on_with_one(templated: Templated) -> None:
    with pytest.raises(InvalidRequest, match="no answer to go on with"):
        rendered(templated("{{ messages[0].content }}"), [Message.of("user", "Hi"), Message.of("assistant", "So")])


@pytest.mark.parametrize(
    "before, after", [("So far", " it goes"), ("So far ", "it goes"), ("😀", " it"), ("a 😀", "😀")]
)
def test_the_space_in_front_of_the_rest_is_kept(templated: Templated, before: str, after: str) -> None:
    tokenizer = templated(SAID)
    detokenizer = tokenizer.detokenizer(tokenizer.raw(before, 4096))
    for token in tokenizer.encode(after):
        detokenizer.add_token(token)
    detokenizer.finalize()
    assert detokenizer.last_segment == after


def test_whether_a_template_opens_a_thought_is_found_out_once() -> None:
    renderings: list[bool] = []

    def opens_thought() -> bool:
        renderings.append(True)
        return True

    options = TemplateOptions(frozenset(), opens_thought)
    for _ in range(3):
        assert options.chosen(asking("high")) == {}
    assert renderings == [True]
