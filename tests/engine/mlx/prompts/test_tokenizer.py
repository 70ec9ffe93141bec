from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import QWEN
from tests.engine.mlx.conftest import Templated
from webapp.engine.backend import Backend
from webapp.engine.client.tool_calls import CallReader
from webapp.engine.mlx.prompts.tokenizer import Tokenizer, Tokenizers
from webapp.engine.mlx.prompts.turns import turn_of
from webapp.engine.sequence import Prompt
from webapp.errors import ContextLengthExceeded, InvalidRequest, ModelLoadFailed, UnsupportedParameter
from webapp.generation import Call, InstalledModel, Message, TextPart, Tool

WEATHER = Tool("get_weather", "Weather in a city", {"type": "object", "properties": {"city": {"type": "string"}}})
CALL = Call("call_0123456789", "get_weather", '{"city": "Oslo"}')
CALLED = [
    Message.of("user", "Weather in Oslo?"),
    Message.of("assistant", "", calls=(CALL,)),
    Message.of("tool", "rain", call_id="call_0123456789"),
]
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture
def tokenizer(backend: Backend, installed: Callable[[str], InstalledModel]) -> Tokenizer:
    return backend.tokenizer(installed(QWEN))


def test_a_chat_is_rendered_by_the_models_template(tokenizer: Tokenizer) -> None:
    prompt = tokenizer.render([Message.of("system", "Be kind."), Message.of("user", "Hi")], {}, 4096)
    text = tokenizer.decode(prompt.tokens)
    assert text.startswith(
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant"
    )


def test_checkpoints_lie_after_the_system_message_and_before_the_answer(tokenizer: Tokenizer) -> None:
    prompt = tokenizer.render([Message.of("system", "Be kind."), Message.of("user", "Hi")], {}, 4096)
    opening, history = (tokenizer.decode(prompt.tokens[:end]) for end in prompt.checkpoints)
    assert opening == "<|im_start|>system\nBe kind.<|im_end|>\n"
    assert history.endswith("Hi<|im_end|>\n")


def test_a_developer_is_the_system_where_the_template_knows_none(templated: Templated) -> None:
    plain = templated("{% for m in messages %}{{ m.role }} {% endfor %}")
    assert plain.decode(plain.render([Message.of("developer", "x")], {}, 4096).tokens).split() == ["system"]
    knows = templated("{# developer #}{% for m in messages %}{{ m.role }} {% endfor %}")
    assert knows.decode(knows.render([Message.of("developer", "x")], {}, 4096).tokens).split() == ["developer"]


STRICT = """\
{%- for m in messages %}
{%- if m.role == 'system' and not loop.first %}{{ raise_exception('The system speaks first.') }}{% endif %}
{%- if loop.previtem and loop.previtem.role == m.role != 'tool' %}{{ raise_exception('Roles alternate.') }}{% endif %}
{{- m.role }}({{ m.content }}) {% endfor %}
{%- if not messages | selectattr('role', 'equalto', 'user') | list %}{{ raise_exception('Nobody asks.') }}{% endif %}"""


def test_what_a_strict_template_refuses_is_gathered(templated: Templated) -> None:
    strict = templated(STRICT)
    said = [
        Message.of("developer", "A"),
        Message.of("developer", "B"),
        Message.of("user", "C"),
        Message.of("system", "D"),
    ]
    prompt = strict.render([*said, *CALLED[1:], Message.of("user", "E")], {}, 4096)
    whole = "system(A\n\nB) user(C\n\nD) assistant() tool(rain) user(E) "
    assert strict.decode(prompt.tokens).strip() == whole.strip()
    as_it_stands = templated("{% for m in messages %}{{ m.role }} {% endfor %}").render(said, {}, 4096)
    assert strict.decode(as_it_stands.tokens).split() == ["system", "system", "user", "system"]


def test_history_is_shared_though_instructions_alone_are_refused(templated: Templated) -> None:
    prompt = templated(STRICT + "{% if add_generation_prompt %}assistant({% endif %}").render(
        [Message.of("system", "A"), Message.of("user", "B")], {}, 4096
    )
    assert len(prompt.checkpoints) == 1


def test_a_template_that_refuses_is_the_requests_fault(templated: Templated) -> None:
    strict = templated("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate") as refused:
        strict.render([Message.of("user", "x")], {}, 4096)
    assert refused.value.place == ("messages",)


@pytest.mark.parametrize(
    "template", ["{{ messages[9].content.foo.bar }}", "{{ 1 / 0 }}", "{{ ''.__class__.__mro__ }}x{{ 1/0 }}"]
)
def test_a_faulty_template_fails_the_request_alone(templated: Templated, template: str) -> None:
    with pytest.raises(InvalidRequest):
        templated(template).render([Message.of("user", "x")], {}, 4096)


def test_an_endless_template_is_broken_off(templated: Templated, monkeypatch: pytest.MonkeyPatch) -> None:

    started = time.monotonic()
    with pytest.raises(InvalidRequest, match="longer than"):
        templated(ENDLESS).render([Message.of("user", "x")], {}, 4096)
    assert time.monotonic() - started < 5


def test_tools_stand_in_the_prompt_as_the_template_wants_them(tokenizer: Tokenizer) -> None:
    prompt = tokenizer.render(CALLED, {}, 4096, [WEATHER, Tool("now")])
    first, second, *_ = tokenizer.decode(prompt.tokens).removeprefix("<|im_start|>system\n").split("\n")
    function = {"name": "get_weather", "description": "Weather in a city", "parameters": WEATHER.parameters}
    assert json.loads(first) == {"type": "function", "function": function}
    bare = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    assert json.loads(second) == {"type": "function", "function": bare}
    said = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>\n'
    assert said in tokenizer.decode(prompt.tokens)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ messages[0].content }}<tool_call>{{ tool_call.name }}", "knows no tools"),
        ("{{ tools | tojson }}<other_call>", "cannot read the calls"),
    ],
)
def test_a_model_that_cannot_call_says_so(templated: Templated, template: str, words: str) -> None:
    with pytest.raises(UnsupportedParameter, match=words) as refused:
        templated(template).render([Message.of("user", "x")], {}, 4096, [WEATHER])
    assert refused.value.place == ("tools",)


def test_a_result_knows_the_name_of_its_function(templated: Templated) -> None:
    names = templated("{% for m in messages %}{{ m.role }}={{ m.name }} {% endfor %}")
    assert "tool=get_weather" in names.decode(names.render(CALLED, {}, 4096).tokens)
    own = [*CALLED[:2], Message("tool", (TextPart("rain"),), "mine", "call_0123456789")]
    assert "tool=mine" in names.decode(names.render(own, {}, 4096).tokens)


@pytest.mark.parametrize(
    "arguments, told",
    [
        ('{"city": "Oslo", "hours": 1.50}', {"city": "Oslo", "hours": 1.5}),
        ("{oops", "{oops"),
        ("[1]", "[1]"),
        ("", ""),
        ('{"a": NaN}', '{"a": NaN}'),
        ('{"a": 1e999}', '{"a": 1e999}'),
        ('{"a": "\\ud800"}', '{"a": "\\ud800"}'),
        ('{"a": ' + "[" * 100_000, '{"a": ' + "[" * 100_000),
    ],
    ids=lambda value: str(value)[:20],
)
def test_arguments_are_an_object_for_templates_where_they_are_one(arguments: str, told: object) -> None:
    turn = turn_of(Message.of("assistant", "", calls=(Call("c1", "f", arguments),)), True, False)
    assert turn["tool_calls"] == [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": told}}]


def test_a_template_that_wants_ids_of_nine_gets_them(templated: Templated) -> None:
    mistral = templated(
        "{% for m in messages %}{% for call in m.tool_calls %}{% if call.id|length != 9 %}{{ raise_exception('9!') }}"
        "{% endif %}{{ call.id }} {% endfor %}{{ m.tool_call_id }} {% endfor %}"
    )
    one, same = mistral.decode(mistral.render(CALLED, {}, 4096).tokens).split()
    assert one == same and len(one) == 9 and one.isalnum()


def test_calls_are_read_with_the_models_own_parser(tokenizer: Tokenizer) -> None:
    form = tokenizer.call_format([WEATHER])
    assert (form.start, form.end) == ("<tool_call>", "</tool_call>")
    assert form.parse('{"name": "get_weather"}') == {"name": "get_weather"}
    machine = tokenizer.text_machine(["END"], thinks=True, calls=form)
    _, segments = machine.split(machine.make_state(), "a<think>b<tool_call></think><tool_call>END</tool_call>cEND")
    assert segments == [
        ("normal", "a"),
        ("reasoning", "b<tool_call>"),
        ("normal", ""),
        ("tool", "END"),
        ("normal", "c"),
        (None, ""),
    ]


def test_a_parser_that_takes_for_ever_is_broken_off(templated: Templated) -> None:
    form = templated("{{ tools }}<|tool_call><tool_call|>").call_format([WEATHER])
    started = time.monotonic()
    assert CallReader(form, "r1", only_one=False).read("call:f{" * 1200, whole=True) == []
    assert time.monotonic() - started < 5


def test_a_raw_prompt_must_be_of_this_vocabulary(tokenizer: Tokenizer) -> None:
    assert tokenizer.raw([1, 2, 3], 4096).tokens == (1, 2, 3)
    with pytest.raises(InvalidRequest) as refused:
        tokenizer.raw([1, tokenizer.vocabulary_size], 4096)
    assert refused.value.place == ("prompt", 0, 1)


def test_an_answer_is_detokenized_as_it_is_decoded(tokenizer: Tokenizer) -> None:
    text = "A naïve café — 日本語 🔥 at 42°"
    detokenizer = tokenizer.detokenizer(Prompt(()))
    pieces = []
    for token in tokenizer.encode(text):
        detokenizer.add_token(token)
        pieces.append(detokenizer.last_segment)
    detokenizer.finalize()
    assert "".join(pieces) + detokenizer.last_segment == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_missing_tokenizer_is_a_model_that_does_not_load(
    tmp_path: Path, models_dir: Path, installed: Callable[[str], InstalledModel]
) -> None:
    shutil.copytree(models_dir / QWEN, tmp_path / "broken")
    (tmp_path / "broken" / "tokenizer.json").unlink()
    with pytest.raises(ModelLoadFailed, match="tokenizer"):
        Tokenizers().of(replace(installed(QWEN), path=tmp_path / "broken"))


def test_what_cannot_fit_is_refused_without_tokenizing_it(tokenizer: Tokenizer) -> None:
    started = time.monotonic()
    with pytest.raises(ContextLengthExceeded):
        tokenizer.raw("a" * 15_000_000, 4096)
    with pytest.raises(ContextLengthExceeded):
        tokenizer.render([Message.of("user", "a" * 15_000_000)], {}, 4096)
    assert time.monotonic() - started < 10
