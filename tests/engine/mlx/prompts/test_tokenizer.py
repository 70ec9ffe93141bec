from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load as load_wrapper

from tests.conftest import QWEN
from tests.engine.mlx.conftest import Templated, agreed, rendered
from webapp.engine.client.tool_calls import CallReader
from webapp.engine.mlx.prompts.tokenizer import MlxTokenizer
from webapp.engine.mlx.prompts.tokenizers import read_tokenizer
from webapp.engine.mlx.prompts.turns import turn_of
from webapp.engine.sequence import Prompt
from webapp.errors import ContextLengthExceeded, InvalidRequest, ModelLoadFailed, Place, UnsupportedParameter
from webapp.generation import (
    Call,
    Finish,
    GenerationRequest,
    Grammar,
    InstalledModel,
    Message,
    SamplingParams,
    TextPart,
    Timing,
    Tool,
    Usage,
)
from webapp.stream import collect

WEATHER = Tool("get_weather", "Weather in a city", {"type": "object", "properties": {"city": {"type": "string"}}})
CALL = Call("call_0123456789", "get_weather", '{"city": "Oslo"}')
CALLED = [
    Message.of("user", "Weather in Oslo?"),
    Message.of("assistant", "", calls=(CALL,)),
    Message.of("tool", "rain", call_id="call_0123456789"),
]
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture
def tokenizer(installed: Callable[[str], InstalledModel]) -> MlxTokenizer:
    return read_tokenizer(installed(QWEN), lambda model: True)


def test_a_chat_is_rendered_by_the_models_template(tokenizer: MlxTokenizer) -> None:
    prompt = rendered(tokenizer, [Message.of("system", "Be kind."), Message.of("user", "Hi")])
    text = tokenizer.decode(prompt.tokens)
    assert text.startswith(
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant"
    )


def test_checkpoints_lie_after_the_system_message_and_before_the_answer(tokenizer: MlxTokenizer) -> None:
    prompt = rendered(tokenizer, [Message.of("system", "Be kind."), Message.of("user", "Hi")])
    opening, history = (tokenizer.decode(prompt.tokens[:end]) for end in prompt.checkpoints)
    assert opening == "<|im_start|>system\nBe kind.<|im_end|>\n"
    assert history.endswith("Hi<|im_end|>\n")


def test_a_developer_is_the_system_where_the_template_knows_none(templated: Templated) -> None:
    plain = templated("{% for m in messages %}{{ m.role }} {% endfor %}")
    assert plain.decode(rendered(plain, [Message.of("developer", "x")]).tokens).split() == ["system"]
    knows = templated("{# developer #}{% for m in messages %}{{ m.role }} {% endfor %}")
    assert knows.decode(rendered(knows, [Message.of("developer", "x")]).tokens).split() == ["developer"]


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
    prompt = rendered(strict, [*said, *CALLED[1:], Message.of("user", "E")])
    whole = "system(A\n\nB) user(C\n\nD) assistant() tool(rain) user(E) "
    assert strict.decode(prompt.tokens).strip() == whole.strip()
    as_it_stands = rendered(templated("{% for m in messages %}{{ m.role }} {% endfor %}"), said)
    assert strict.decode(as_it_stands.tokens).split() == ["system", "system", "user", "system"]


def test_history_is_shared_though_instructions_alone_are_refused(templated: Templated) -> None:
    strict = templated(STRICT + "{% if add_generation_prompt %}assistant({% endif %}")
    prompt = rendered(strict, [Message.of("system", "A"), Message.of("user", "B")])
    assert len(prompt.checkpoints) == 1


def test_a_template_that_refuses_is_the_requests_fault(templated: Templated) -> None:
    strict = templated("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate") as refused:
        rendered(strict, [Message.of("user", "x")])
    assert refused.value.place == ("messages",)


@pytest.mark.parametrize(
    "template", ["{{ messages[9].content.foo.bar }}", "{{ 1 / 0 }}", "{{ ''.__class__.__mro__ }}x{{ 1/0 }}"]
)
def test_a_faulty_template_fails_the_request_alone(templated: Templated, template: str) -> None:
    with pytest.raises(InvalidRequest):
        rendered(templated(template), [Message.of("user", "x")])


def test_an_endless_template_is_broken_off(templated: Templated) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidRequest, match="longer than"):
        rendered(templated(ENDLESS), [Message.of("user", "x")])
    assert time.monotonic() - started < 5


def test_tools_stand_in_the_prompt_as_the_template_wants_them(tokenizer: MlxTokenizer) -> None:
    prompt = rendered(tokenizer, CALLED, [WEATHER, Tool("now")])
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
        rendered(templated(template), [Message.of("user", "x")], [WEATHER])
    assert refused.value.place == ("tools",)


def test_a_result_knows_the_name_of_its_function(templated: Templated) -> None:
    names = templated("{% for m in messages %}{{ m.role }}={{ m.name }} {% endfor %}")
    assert "tool=get_weather" in names.decode(rendered(names, CALLED).tokens)
    own = [*CALLED[:2], Message("tool", (TextPart("rain"),), "mine", "call_0123456789")]
    assert "tool=mine" in names.decode(rendered(names, own).tokens)


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
    one, same = mistral.decode(rendered(mistral, CALLED).tokens).split()
    assert one == same and len(one) == 9 and one.isalnum()


def test_calls_are_read_with_the_models_own_parser(tokenizer: MlxTokenizer) -> None:
    form = tokenizer.formats.calls([WEATHER])
    assert (form.start, form.end) == ("<tool_call>", "</tool_call>")
    assert form.parse('{"name": "get_weather"}') == {"name": "get_weather"}
    machine = tokenizer.formats.text_machine(["END"], thinks=True, calls=form)
    assert machine.split("a<think>b<tool_call></think><tool_call>END</tool_call>cEND") == [
        ("normal", "a"),
        ("reasoning", "b<tool_call>"),
        ("normal", ""),
        ("tool", "END"),
        ("normal", "c"),
        (None, ""),
    ]


def test_a_parser_that_takes_for_ever_is_broken_off(templated: Templated) -> None:
    form = templated("{{ tools }}<|tool_call><tool_call|>").formats.calls([WEATHER])
    started = time.monotonic()
    assert CallReader(form, "r1", only_one=False).read("call:f{" * 1200, whole=True) == []
    assert time.monotonic() - started < 5


def test_a_raw_prompt_must_be_of_this_vocabulary(tokenizer: MlxTokenizer) -> None:
    assert tokenizer.raw([1, 2, 3], 4096).tokens == (1, 2, 3)
    with pytest.raises(InvalidRequest) as refused:
        tokenizer.raw([1, tokenizer.vocabulary_size], 4096)
    assert refused.value.place == ("prompt", 0, 1)


def test_an_answer_is_detokenized_as_it_is_decoded(tokenizer: MlxTokenizer) -> None:
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
        read_tokenizer(replace(installed(QWEN), path=tmp_path / "broken"), lambda model: True)


def test_what_cannot_fit_is_refused_without_tokenizing_it(tokenizer: MlxTokenizer) -> None:
    started = time.monotonic()
    with pytest.raises(ContextLengthExceeded):
        tokenizer.raw("a" * 15_000_000, 4096)
    with pytest.raises(ContextLengthExceeded):
        tokenizer.prepare(GenerationRequest("r", "m"), agreed([Message.of("user", "a" * 15_000_000)]))
    assert time.monotonic() - started < 10


HI = Message.of("user", "Hi")
HELLO = GenerationRequest("r", "m", messages=(HI,))


def test_one_call_prepares_all_that_generating_takes(tokenizer: MlxTokenizer) -> None:
    request = GenerationRequest("r", "m", messages=(HI,), stop=("END",), tools=(WEATHER,))
    prepared = tokenizer.prepare(request, agreed([HI]))
    assert prepared.prompt == rendered(tokenizer, [HI], [WEATHER])
    assert (prepared.ends, prepared.constraint) == (tokenizer.eos_ids, None)
    written = '<think>hm</think>So:<tool_call>{"name": "get_weather"}</tool_call>rest END more'
    events = [event for token in tokenizer.encode(written) for event in prepared.splitter.feed(token)]
    completion = collect(iter([*events, Finish("stop", Usage(1, 1), Timing(0, None, 1))]))
    assert (completion.reasoning, completion.text) == ("hm", "So:rest ")
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [("get_weather", "{}")]
    assert prepared.splitter.stopped and prepared.splitter.stop_string == "END"
    assert b"".join(prepared.spell(token) for token in tokenizer.encode("café")) == "café".encode()


def test_an_answer_that_must_have_a_form_is_prepared_with_what_keeps_it_there(tokenizer: MlxTokenizer) -> None:
    request = GenerationRequest("r", "m", messages=(HI,), grammar=Grammar("regex", "y"))
    constraint = tokenizer.prepare(request, agreed([HI])).constraint
    assert constraint is not None
    constraint.consume(tokenizer.encode("n")[0])
    assert constraint.broken


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (GenerationRequest("r", "m", prompt=""), ("prompt", 0)),
        (GenerationRequest("r", "m", prompt=(5,) * 40, prompt_index=1), ("prompt", 1)),
        (GenerationRequest("r", "m", prompt=(5, 10**6), prompt_index=1), ("prompt", 1, 1)),
        (GenerationRequest("r", "m", messages=(HI,) * 20), ("messages",)),
        (
            GenerationRequest("r", "m", messages=(HI,), template_options={"a": 1}, insists_on_options=True),
            ("options", "a"),
        ),
    ],
)
def test_what_cannot_be_prepared_names_the_field(
    tokenizer: MlxTokenizer, request_: GenerationRequest, place: Place
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tokenizer.prepare(request_, agreed(request_.messages, context_length=40))
    assert refused.value.place == place


def test_a_bias_names_a_token_that_there_is(tokenizer: MlxTokenizer) -> None:
    terms = replace(agreed([HI]), sampling=SamplingParams(logit_bias=((5, 1.0), (10**6, 1.0))))
    with pytest.raises(InvalidRequest) as refused:
        tokenizer.prepare(GenerationRequest("r", "m", messages=(HI,)), terms)
    assert refused.value.place == ("logit_bias", 10**6)


def test_what_a_request_tells_the_template_stands_above_a_profiles_wishes(templated: Templated) -> None:
    plain = templated("{{ thinking }} {{ a }}")
    request = GenerationRequest(
        "r", "m", messages=(HI,), template_options={"enable_thinking": True}, insists_on_options=True
    )
    terms = agreed([HI], thinking=False, a=1, nonsense=2)
    assert plain.decode(plain.prepare(request, terms).prompt.tokens) == "True 1"
    assert plain.decode(rendered(plain, [HI], thinking=False, a=1).tokens) == "False 1"


class CountedEncodings:
    """mlx-lm's wrapper of a tokenizer, and how often a text was tokenized with it; what comes `late` takes 2 s."""

    def __init__(self, wrapper: Any, late: int = 0) -> None:
        self._counted = wrapper
        self._late = late
        self.times = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._counted, name)

    def __len__(self) -> int:
        return len(self._counted)

    def encode(self, *args: Any, **more: Any) -> Any:
        self.times += 1
        if self.times == self._late:
            time.sleep(2)
        return self._counted.encode(*args, **more)


@pytest.mark.parametrize(("wants_checkpoints", "times"), [(False, 1), (True, 3)])
def test_a_prompt_is_tokenized_once_and_once_more_for_each_checkpoint_that_is_wanted(
    models_dir: Path, wants_checkpoints: bool, times: int
) -> None:
    wrapper = CountedEncodings(load_wrapper(models_dir / QWEN, {"trust_remote_code": False}))
    tokenizer = MlxTokenizer(wrapper, frozenset(), wants_checkpoints=lambda: wants_checkpoints)
    said = (Message.of("system", "Be kind."), HI)
    tokenizer.prepare(GenerationRequest("r", "m", messages=said), agreed(said))
    assert wrapper.times == times


class SlowAgain(list[int]):
    """An option for the template, which transformers copies for each rendering: every one but the first takes 2 s."""

    times = 0

    def __iter__(self) -> Iterator[int]:
        self.times += 1
        if self.times > 1:
            time.sleep(2)
        return super().__iter__()


def test_checkpoints_share_the_deadline_of_the_rendering_and_are_left_out_when_late(templated: Templated) -> None:
    tokenizer = templated("{% for m in messages %}{{ m.content }}{% endfor %}")
    said = [Message.of("system", "Be kind."), HI]
    assert rendered(tokenizer, said).checkpoints
    started = time.monotonic()
    prompt = rendered(tokenizer, said, slow=SlowAgain())
    assert (tokenizer.decode(prompt.tokens), prompt.checkpoints) == ("Be kind.Hi", ())
    assert time.monotonic() - started < 1.5


def test_so_does_their_tokenizing(models_dir: Path) -> None:
    said = [Message.of("system", "Be kind."), HI]
    texts = []
    for late in (0, 2):
        wrapper = CountedEncodings(load_wrapper(models_dir / QWEN, {"trust_remote_code": False}), late)
        tokenizer = MlxTokenizer(wrapper, frozenset(), encode_seconds=0.5)
        started = time.monotonic()
        prompt = rendered(tokenizer, said)
        assert bool(prompt.checkpoints) is (late == 0)
        assert time.monotonic() - started < 1.5
        texts.append(prompt.tokens)
    assert texts[0] == texts[1]
