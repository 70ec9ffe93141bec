"""Answers kept to a grammar, token by token, beside others that are not."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import mlx.core as mx
import numpy as np
import pytest

from tests.conftest import LLAMA, QWEN
from tests.engine.mlx.conftest import admit, advance, answer, plan, sequence
from webapp.engine.backend import Backend
from webapp.engine.mlx.batch import MlxRunner
from webapp.engine.mlx.grammar.bitmask import EVERYTHING, nothing
from webapp.engine.mlx.grammar.matcher import Matched
from webapp.engine.mlx.prompts.tokenizer import MlxTokenizer
from webapp.engine.mlx.rows import allowed
from webapp.engine.runner import Broken
from webapp.engine.sequence import Prompt, Sequence
from webapp.errors import InvalidRequest, UnsupportedParameter
from webapp.generation import GenerationRequest, Grammar, InstalledModel, SamplingParams

Installed = Callable[[str], InstalledModel]
Load = Callable[[str], MlxRunner]
SCHEMAS = 200
TOGETHER = 20
NEIGHBOURS = 8


def schema_of(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """Some JSON schema of the kind people write."""
    kinds = ["string", "integer", "number", "boolean", "enum", "null"] + ["object", "array"] * (2 if depth < 2 else 0)
    match rng.choice(kinds):
        case "string":
            return rng.choice([{"type": "string", "maxLength": 6}, {"type": "string", "pattern": "^[a-c]{2,4}$"}])
        case "integer":
            return {"type": "integer", "minimum": rng.randint(-9, 0), "maximum": rng.randint(1, 99)}
        case "enum":
            return {"enum": rng.sample(["red", "green", 1, None, True], 3)}
        case "object":
            names = rng.sample(["a", "b", "name", "size"], rng.randint(1, 3))
            return {
                "type": "object",
                "properties": {name: schema_of(rng, depth + 1) for name in names},
                "required": names[: rng.randint(0, len(names))],
                "additionalProperties": False,
            }
        case "array":
            return {"type": "array", "items": schema_of(rng, depth + 1), "minItems": rng.randint(0, 1), "maxItems": 3}
        case plain:
            return {"type": plain}


def constrained(
    tokenizer: MlxTokenizer, model: InstalledModel, grammar: Grammar, seed: int, max_tokens: int = 400
) -> Sequence:
    prompt = Prompt((5, 6, 7, seed % 400 + 8))
    one = sequence(model, prompt.tokens, SamplingParams(temperature=1.0, seed=seed), max_tokens)
    one.constraint = tokenizer.constraint(asking(grammar), prompt, {})
    one.eos_ids = tokenizer.eos_ids
    return one


def asking(grammar: Grammar) -> GenerationRequest:
    return GenerationRequest("r", "m", prompt="x", grammar=grammar)


def json_grammar(schema: object) -> Grammar:
    return Grammar("JSON schema", json.dumps(schema))


@pytest.mark.parametrize("name", [QWEN, LLAMA])
def test_every_finished_answer_conforms_and_neighbours_are_undisturbed(
    load: Load, installed: Installed, backend: Backend, name: str
) -> None:
    model, tokenizer, rng = installed(name), backend.tokenizer(installed(name)), random.Random(7)
    schemas = [schema_of(rng) for _ in range(SCHEMAS // 2)]
    neighbours = [(9, 10, 11 + i) for i in range(NEIGHBOURS)]
    alone = answer(load(name), *(sequence(model, tokens, max_tokens=60) for tokens in neighbours))
    finished = 0
    runner = load(name)
    for first in range(0, len(schemas), TOGETHER):
        part = schemas[first : first + TOGETHER]
        bound = [constrained(tokenizer, model, json_grammar(schema), first + i) for i, schema in enumerate(part)]
        beside = [sequence(model, tokens, max_tokens=60) for tokens in neighbours]
        texts = answer_some(runner, *bound, *beside)
        assert [texts[one.id] for one in beside] == alone
        for one, schema in zip(bound, part, strict=True):
            if len(texts[one.id]) < one.max_tokens:
                jsonschema.validate(json.loads(tokenizer.decode(texts[one.id])), schema)
                finished += 1
    assert finished > 0.9 * len(schemas)


def answer_some(runner: MlxRunner, *sequences: Sequence) -> dict[str, list[int]]:
    answers: dict[str, list[int]] = {one.id: [] for one in sequences}
    admit(runner, *sequences)
    while runner.sequences():
        advance(runner, answers)
    return answers


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        (Grammar("regex", "(red|green) [0-9]{3}"), r"(red|green) \d{3}"),
        (Grammar("grammar", 'start: "yes" | "no"'), "yes|no"),
        (json_grammar({"const": {"a": 1}}), r'\{\s*"a"\s*:\s*1\s*\}'),
    ],
)
def test_regular_expressions_and_grammars(
    load: Load, installed: Installed, backend: Backend, grammar: Grammar, pattern: str
) -> None:
    tokenizer = backend.tokenizer(installed(QWEN))
    one = constrained(tokenizer, installed(QWEN), grammar, seed=1)
    assert re.fullmatch(pattern, tokenizer.decode(answer_some(load(QWEN), one)[one.id]))


def test_a_seeded_answer_is_the_same_alone_and_in_company(load: Load, installed: Installed, backend: Backend) -> None:
    tokenizer, model = backend.tokenizer(installed(QWEN)), installed(QWEN)
    grammar = json_grammar({"type": "array", "items": {"type": "integer"}, "maxItems": 9})
    alone = constrained(tokenizer, model, grammar, seed=5)
    together = [constrained(tokenizer, model, grammar, seed=seed) for seed in (4, 5, 6)]
    texts = answer_some(load(QWEN), *together)
    assert answer_some(load(QWEN), alone)[alone.id] == texts[together[1].id]


@pytest.mark.parametrize(
    ("grammar", "error", "words"),
    [
        (json_grammar({"not": {"type": "string"}}), UnsupportedParameter, "not"),
        (json_grammar({"type": "array", "uniqueItems": True}), UnsupportedParameter, "uniqueItems"),
        (json_grammar({"type": "string", "format": "postcode"}), UnsupportedParameter, "postcode"),
        (json_grammar({"type": "nonsense"}), InvalidRequest, "nonsense"),
        (json_grammar({"$ref": "http://elsewhere.example/x"}), InvalidRequest, "elsewhere"),
        (Grammar("regex", "[a-z"), InvalidRequest, "regex"),
        (Grammar("grammar", "start: nothing"), InvalidRequest, "nothing"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(
    backend: Backend, installed: Installed, grammar: Grammar, error: type[InvalidRequest], words: str
) -> None:
    with pytest.raises(error, match=words) as refused:
        backend.tokenizer(installed(QWEN)).constraint(asking(grammar), Prompt((5,)), {})
    assert refused.value.place == ("grammar",)


def bits(constraint: Matched, vocabulary: int) -> set[int]:
    words = nothing(vocabulary)
    constraint.fill(words)
    return set(np.flatnonzero(np.array(allowed(mx.array(words[None]), vocabulary))[0]).tolist())


def test_a_record_as_zod_describes_it_is_enforced(backend: Backend, installed: Installed) -> None:
    names = {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "integer"}}
    schema = {"type": "object", "properties": {"propertyNames": {"type": "string"}, "all": {"anyOf": [names]}}}
    tokenizer = backend.tokenizer(installed(QWEN))
    for text, fits in (('{"propertyNames": "a", "all": {"a": 1', True), ('{"propertyNames": 1', False)):
        constraint = tokenizer.constraint(asking(Grammar("JSON schema", json.dumps(schema))), Prompt((5,)), {})
        assert isinstance(constraint, Matched)
        for token in tokenizer.encode(text):
            constraint.consume(token)
        assert (constraint.broken is None) is fits


def test_a_thought_comes_first_when_it_is_asked_for(backend: Backend, installed: Installed) -> None:
    tokenizer = backend.tokenizer(installed(QWEN))
    [start], [end] = tokenizer.encode("<think>"), tokenizer.encode("</think>")
    [yes] = tokenizer.encode("y")
    grammar = Grammar("regex", "y")
    bound = tokenizer.constraint(asking(grammar), Prompt((5,)), {})
    free = tokenizer.constraint(asking(grammar), Prompt((5,)), {"enable_thinking": True})
    assert bound and free
    assert bits(bound, tokenizer.vocabulary_size) == {yes}
    assert bits(free, tokenizer.vocabulary_size) == {yes, start}
    free.consume(start)
    everything = set(range(tokenizer.vocabulary_size))
    assert everything - bits(free, tokenizer.vocabulary_size) == set(tokenizer.eos_ids)
    free.consume(end)
    assert bits(free, tokenizer.vocabulary_size) == {yes}
    free.consume(yes)
    assert bits(free, tokenizer.vocabulary_size) == set(tokenizer.eos_ids)


def test_logits_wider_than_the_vocabulary_are_never_chosen(backend: Backend, installed: Installed) -> None:
    tokenizer = backend.tokenizer(installed(QWEN))
    bound = tokenizer.constraint(asking(json_grammar({})), Prompt((5,)), {})
    assert bound and max(bits(bound, tokenizer.vocabulary_size + 100)) < tokenizer.vocabulary_size


def test_bits_are_unpacked_as_llguidance_packs_them() -> None:
    words = np.array([[1 << 3, EVERYTHING], [-(2**31), 0]], dtype=np.int32)
    unpacked = np.array(allowed(mx.array(words), 40))
    assert unpacked.shape == (2, 40)
    assert np.flatnonzero(unpacked[0]).tolist() == [3, *range(32, 40)]
    assert np.flatnonzero(unpacked[1]).tolist() == [31]


def test_a_broken_constraint_takes_its_own_sequence_out_and_no_other(
    load: Load, installed: Installed, backend: Backend
) -> None:
    tokenizer, model, runner = backend.tokenizer(installed(QWEN)), installed(QWEN), load(QWEN)
    alone = answer(load(QWEN), sequence(model, (9, 10, 11)))[0]
    bound = constrained(tokenizer, model, Grammar("regex", "[a-z]*"), seed=1, max_tokens=30)
    neighbour = sequence(model, (9, 10, 11))
    admit(runner, bound, neighbour)
    answers: dict[str, list[int]] = {}
    for _ in range(4):
        advance(runner, answers)
    assert bound.constraint is not None
    bound.constraint.consume(max(tokenizer.encode("5")))
    outputs = runner.step(plan(64)).outputs
    assert [type(each) for each in outputs if each.sequence is bound][-1] is Broken
    for output in outputs:
        if output.sequence is neighbour:
            answers[neighbour.id].append(output.token)  # type: ignore[union-attr]
    while runner.sequences():
        advance(runner, answers)
    assert answers[neighbour.id] == alone
