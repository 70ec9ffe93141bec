"""Every family's calls, enforced: random walks through the grammar are calls that mlx-lm's own parser reads."""

from __future__ import annotations

import importlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tokenizers import AddedToken
from tokenizers import Tokenizer as Vocabulary

from tests.conftest import QWEN
from webapp.engine.client.output import Splitter
from webapp.engine.client.tool_calls import CallReader
from webapp.engine.mlx.grammar.bitmask import nothing
from webapp.engine.mlx.grammar.calls.families import FAMILIES
from webapp.engine.mlx.grammar.matcher import Matched
from webapp.engine.mlx.prompts.tokenizer import MlxTokenizer
from webapp.engine.sequence import Prompt
from webapp.errors import UnsupportedParameter
from webapp.generation import GenerationRequest, Text, Tool, ToolCall, ToolChoice

# What is a token of its own in such a model's tokenizer, beside the markers.
OWN: dict[str, tuple[str, ...]] = {
    "glm47": ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    "longcat": ("<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>"),
    "kimi_k2": ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
    "kimi_k3": ("<|open|>", "<|sep|>", "<|close|>"),
    "mistral": ("[ARGS]",),
    "gemma4": ('<|"|>', "<|channel>", "<channel|>"),
    "function_gemma": ("<escape>",),
}
SPELT = ("minicpm5", "muse_spark", "kimi_k3")  # markers that are several tokens
STEPS = 900
WALKS = 9

SIMPLE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where", "maxLength": 30},
        "unit": {"enum": ["C", "F", "null", " both "]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "level": {"enum": [1, 2.5, None, True]},
        "ratio": {"type": "number"},
        "note": {"anyOf": [{"type": "string", "minLength": 2, "maxLength": 9}, {"type": "null"}]},
        "code": {"type": "string", "pattern": "^[a-c/]{2,4}$"},
        "sure": {"type": ["boolean", "null"]},
        "part": {"type": "string", "pattern": "x[0-9]", "maxLength": 9},
    },
    "required": ["city", "unit", "level"],
    "additionalProperties": False,
}
NESTED: dict[str, Any] = {
    "type": "object",
    "$defs": {
        "Place": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 5}, "near": {"$ref": "#/$defs/Place"}},
            "required": ["name"],
            "additionalProperties": False,
        }
    },
    "properties": {
        "place": {"$ref": "#/$defs/Place"},
        "steps": {"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 1, "maxItems": 3},
        "either": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
    },
    "required": ["place", "steps"],
    "additionalProperties": False,
}
TOOLS = (
    Tool("get_weather", "Weather", SIMPLE, strict=True),
    Tool("clock", None, {"type": "object", "properties": {}}),
    Tool("plan", None, NESTED, strict=True),
)
SCHEMAS = {tool.name: tool.parameters for tool in TOOLS}
Make = Callable[..., MlxTokenizer]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Make:
    """The tiny model's tokenizer as that of a family, whose markers are tokens of their own or are not."""

    @cache
    def make(family: str, own: bool, *plain: str) -> MlxTokenizer:
        folder = tmp_path_factory.mktemp("families") / family
        shutil.copytree(models_dir / QWEN, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"tool_parser_type": family}))
        if family == "gemma4":  # whose models think between markers of several tokens
            vocabulary_path = folder / "tokenizer.json"
            vocabulary_path.write_text(vocabulary_path.read_text().replace("think>", "other>"))
        if own:
            module = importlib.import_module(f"mlx_lm.tool_parsers.{family}")
            markers = () if family in SPELT else (module.tool_call_start, module.tool_call_end)
            vocabulary = Vocabulary.from_file(str(folder / "tokenizer.json"))
            words = [word for word in (*markers, *OWN.get(family, ())) if word]
            vocabulary.add_tokens([AddedToken(word, normalized=False, special=True) for word in words])
            vocabulary.save(str(folder / "tokenizer.json"))
        if plain:
            vocabulary = Vocabulary.from_file(str(folder / "tokenizer.json"))
            vocabulary.add_tokens([AddedToken(word, normalized=False) for word in plain])
            vocabulary.save(str(folder / "tokenizer.json"))
        return MlxTokenizer.load(folder, [])

    return make


def offered(family: str) -> tuple[Tool, ...]:
    """A format whose arguments are no JSON and have no way to nest cannot carry the third."""
    return TOOLS[:2] if family == "function_gemma" else TOOLS


def request(tools: tuple[Tool, ...], choice: ToolChoice, several: bool = True) -> GenerationRequest:
    return GenerationRequest("r", "m", prompt="x", tools=tools, tool_choice=choice, parallel_tool_calls=several)


def literals(form: object) -> list[str]:
    """All the texts of which a family's format is made."""
    if isinstance(form, str):
        return [form.replace("{name}", "clock").replace("{key}", "city"), form] if form else []
    if isinstance(form, tuple):
        return [text for each in form for text in literals(each)]
    return (
        [text for field in fields(form) for text in literals(getattr(form, field.name))] if is_dataclass(form) else []
    )


def allowed_by(bound: Matched, tokenizer: MlxTokenizer) -> list[int]:
    words = nothing(tokenizer.vocabulary_size)
    bound.fill(words)
    assert bound.broken is None
    return list(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())


def walk(tokenizer: MlxTokenizer, bound: Matched, rng: random.Random, family: str) -> list[int]:
    """Any token that the mask allows; again and again what would end or spoil the call, if the mask allows it.

    Until an answer ends, or is free again; nothing when that takes too long.
    """
    spoiling = literals(FAMILIES[family]) if getattr(FAMILIES[family].values, "text", None) else []
    sayings = [tokenizer.encode(text) for text in ("null", " ", '"', "}", "]", *spoiling)]
    tokens: list[int] = []
    saying: list[int] = []
    while len(tokens) < STEPS:
        allowed = allowed_by(bound, tokenizer)
        if tokenizer.eos_ids & set(allowed) and (rng.random() < 0.5 or len(allowed) in (1, tokenizer.vocabulary_size)):
            return tokens
        saying = saying or (list(rng.choice(sayings)) if rng.random() < 0.3 else [])
        token = saying.pop(0) if saying and saying[0] in allowed else rng.choice(allowed)
        if token not in tokenizer.eos_ids:
            bound.consume(token)
            tokens.append(token)
    return []


def read(tokenizer: MlxTokenizer, tools: tuple[Tool, ...], tokens: list[int]) -> tuple[list[tuple[str, Any]], str, int]:
    """The calls, the text beside them, and how many were none."""
    form = tokenizer.formats.calls(tools)
    reader = CallReader(form, "r", only_one=False)
    split = Splitter(tokenizer.detokenizer(Prompt((5,))), tokenizer.formats.text_machine((), False, form), calls=reader)
    events = [event for token in tokens for event in split.feed(token)]
    events += split.finish(cut_off=False)
    pieces = [event for event in events if isinstance(event, ToolCall)]
    names = [piece.name for piece in pieces if piece.name]
    found = [json.loads(piece.arguments) for piece in pieces if not piece.name]
    text = "".join(event.text for event in events if isinstance(event, Text))
    return list(zip(names, found, strict=True)), text, split.unparsed_calls


@pytest.mark.parametrize("own", [True, False], ids=["tokens", "spelt"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_walk_is_a_call_that_fits_its_schema(make: Make, family: str, own: bool) -> None:
    tokenizer, tools, rng = make(family, own), offered(family), random.Random(f"{family}1")
    finished: list[str] = []
    for turn in range(WALKS):
        named = tools[turn % len(tools)].name if turn % 2 else None
        ask = request(tools, ToolChoice("required", named), several=turn % 3 == 0)
        bound = tokenizer.constraint(ask, Prompt((5,)), {})
        assert bound
        tokens = walk(tokenizer, bound, rng, family)
        if not tokens:
            continue
        calls, text, unparsed = read(tokenizer, tools, tokens)
        assert calls and (text.strip(), unparsed) == ("", 0), tokenizer.decode(tokens)
        assert len(calls) == 1 or turn % 3 == 0
        for name, arguments in calls:
            assert jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(arguments), (
                arguments,
                tokenizer.decode(tokens),
            )
            assert named in (None, name)
        finished += [name for name, _ in calls]
    assert {tool.name for tool in tools} == set(finished)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_that_the_model_chooses_is_bound_from_its_marker_on(make: Make, family: str) -> None:
    """However the marker is cut: here each character is a token, and where the last one goes on it is forbidden."""
    tokenizer, tools, rng = make(family, False), offered(family), random.Random(f"{family}1")
    start = tokenizer.formats.calls(tools).start
    opening = [token for letter in f"So: {start}" for token in tokenizer.encode(letter)]
    finished = 0
    for _ in range(6):
        bound = tokenizer.constraint(request(tools, ToolChoice()), Prompt((5,)), {})
        assert bound
        for token in opening:
            assert token in allowed_by(bound, tokenizer)
            bound.consume(token)
        assert len(allowed_by(bound, tokenizer)) < tokenizer.vocabulary_size
        if tokens := walk(tokenizer, bound, rng, family):
            calls, text, unparsed = read(tokenizer, tools, opening + tokens)
            assert (text.strip(), unparsed) == ("So:", 0), tokenizer.decode(tokens)
            valid = [jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(given) for name, given in calls]
            assert valid and all(valid)
            assert len(allowed_by(bound, tokenizer)) == tokenizer.vocabulary_size
            finished += len(calls)
    assert finished


def test_a_token_that_ends_the_marker_and_goes_on_is_forbidden(make: Make) -> None:
    tokenizer = make("minicpm5", False, '="')
    assert tokenizer.formats.calls(TOOLS).start == "<function name="
    bound = tokenizer.constraint(request(TOOLS, ToolChoice()), Prompt((5,)), {})
    assert bound
    for letter in "<function name":
        for token in tokenizer.encode(letter):
            bound.consume(token)
    forbidden = set(range(tokenizer.vocabulary_size)) - set(allowed_by(bound, tokenizer))
    assert {tokenizer.decode([token]) for token in forbidden} == {'="'}
    [equals] = tokenizer.encode("=")
    assert equals not in forbidden


def test_a_thought_of_calling_binds_nothing(make: Make) -> None:
    tokenizer = make("json_tools", False)
    [thinks], [thought], [call] = (tokenizer.encode(word) for word in ("<think>", "</think>", "<tool_call>"))
    for in_reasoning in (True, False):
        bound = tokenizer.constraint(request(TOOLS, ToolChoice()), Prompt((5,), in_reasoning=in_reasoning), {})
        assert bound
        for token in (*(() if in_reasoning else (thinks,)), call, thought):
            bound.consume(token)
            assert len(allowed_by(bound, tokenizer)) == tokenizer.vocabulary_size
        bound.consume(call)
        assert len(allowed_by(bound, tokenizer)) < 5


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


PAIR = {"type": "array", "prefixItems": [{}]}


@pytest.mark.parametrize(
    ("family", "name", "parameters", "path", "reason"),
    [
        ("qwen3_coder", "f", schema(day={"type": "string", "format": "date"}), ".properties.day.format", "'format'"),
        ("qwen3_coder", "f", schema(**{"my key": {"type": "string"}}), ".properties.my key", "name"),
        ("glm47", "f", {**schema(), "minProperties": 1}, ".minProperties", "'minProperties'"),
        ("function_gemma", "f", schema(a={"type": "array"}), ".properties.a", "array"),
        ("gemma4", "f", schema(a=schema(b=PAIR)), ".properties.a.properties.b.prefixItems", "'prefixItems'"),
        ("gemma4", "f", {"type": "object", "required": ["x"], "additionalProperties": False}, "", "unsatisfiable"),
        ("pythonic", "get-time", schema(), "", "name"),
        ("pythonic", "f", schema(**{"class": {"type": "string"}}), ".properties.class", "name"),
        ("json_tools", "f", schema(a={"not": {}}), "", "not"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_carry_is_refused_where_it_stands(
    make: Make, family: str, name: str, parameters: dict[str, Any], path: str, reason: str
) -> None:
    strict = (Tool("first"), Tool(name, None, parameters, strict=True))
    with pytest.raises(UnsupportedParameter, match=reason) as refused:
        make(family, False).constraint(request(strict, ToolChoice("required")), Prompt((5,)), {})
    assert refused.value.place == ("tools", 1, "parameters", *path.split(".")[1:])


@pytest.mark.parametrize("family", ["qwen3_coder", "gemma4", "function_gemma"])
def test_where_nobody_insists_the_call_is_whole_and_its_arguments_are_free(make: Make, family: str) -> None:
    tools = (Tool("f", None, schema(day={"type": "string", "format": "date", "minLength": 3}, a={"not": {}})),)
    tokenizer, rng = make(family, True), random.Random(f"{family}1")
    found = []
    for _ in range(6):
        bound = tokenizer.constraint(request(tools, ToolChoice("required"), several=False), Prompt((5,)), {})
        assert bound
        if tokens := walk(tokenizer, bound, rng, family):
            found += read(tokenizer, tools, tokens)[0]
    assert found and all(name == "f" and set(arguments) == {"day", "a"} for name, arguments in found)


def test_parsers_are_told_what_is_text_and_what_is_not(make: Make) -> None:
    number, word = {"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}
    tools = [Tool("f", None, schema(number=number, word=word, other={"enum": [1, 2]}, big={"type": "integer"}))]
    values = {"number": "5", "word": "5", "other": "2", "big": "12345678901234567890"}
    said = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    parsed = make("qwen3_coder", False).formats.calls(tools).parse(f"<function=f>\n{said}</function>")
    read_back = {"number": 5, "word": "5", "other": 2, "big": 12345678901234567890}
    assert parsed == {"name": "f", "arguments": read_back}


def test_a_thought_may_begin_with_a_marker_of_several_tokens(make: Make) -> None:
    tokenizer = make("gemma4", True)
    start, end = tokenizer.encode("<|channel>thought"), tokenizer.encode("<channel|>")
    bound = tokenizer.constraint(request(TOOLS, ToolChoice("required")), Prompt((5,)), {"enable_thinking": True})
    [call] = tokenizer.encode("<|tool_call>")
    assert bound and len(start) > 2 and allowed_by(bound, tokenizer) == sorted([call, start[0]])
    for token, following in pairwise(start):
        bound.consume(token)
        assert allowed_by(bound, tokenizer) == [following]
    bound.consume(start[-1])
    assert len(allowed_by(bound, tokenizer)) > 400
    for token in end:
        bound.consume(token)
    assert allowed_by(bound, tokenizer) == [call]
