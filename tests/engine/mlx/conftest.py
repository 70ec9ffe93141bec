"""Real MLX on tiny models; runners are stepped by hand on the test's own thread."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path

import pytest

from tests.conftest import QWEN
from webapp.catalog.folders import read_model
from webapp.engine.backend import Backend
from webapp.engine.cache_budget import CacheBudget
from webapp.engine.mlx.batch import MlxRunner
from webapp.engine.mlx.prompts.tokenizer import MlxTokenizer
from webapp.engine.prefill import Plan
from webapp.engine.runner import Decoded, Prefilled, Runner
from webapp.engine.sequence import Prompt, Sequence
from webapp.generation import GenerationRequest, InstalledModel, Message, SamplingParams, Terms, Tool

Templated = Callable[[str], MlxTokenizer]

GREEDY = SamplingParams(temperature=0)
IDS = itertools.count()


@pytest.fixture(scope="session")
def backend() -> Backend:
    return Backend()


@pytest.fixture(scope="session")
def installed(models_dir: Path) -> Callable[[str], InstalledModel]:
    return lambda name: read_model(name, models_dir / name, bundled=False)


@pytest.fixture(scope="session")
def load(backend: Backend, installed: Callable[[str], InstalledModel]) -> Callable[[str], MlxRunner]:
    """A fresh runner of a model, its prefix cache empty."""

    def load(name: str) -> MlxRunner:
        loading = backend.open(installed(name), CacheBudget(1 << 30))
        runner: Runner | None = None
        while runner is None:
            runner = loading.advance()
        assert isinstance(runner, MlxRunner)
        return runner

    return load


@pytest.fixture
def templated(tmp_path: Path, models_dir: Path) -> Templated:
    """The tiny model's tokenizer under another chat template."""

    def make(template: str) -> MlxTokenizer:
        folder = tmp_path / "model"
        shutil.copytree(models_dir / QWEN, folder, dirs_exist_ok=True)
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
        return MlxTokenizer.load(folder, [], render_seconds=0.5)

    return make


def agreed(messages: Seq[Message] = (), context_length: int = 4096, **wishes: object) -> Terms:
    return Terms(tuple(messages), wishes, GREEDY, 24, context_length)


def rendered(tokenizer: MlxTokenizer, messages: Seq[Message], tools: Seq[Tool] = (), **wishes: object) -> Prompt:
    """Messages as a prompt."""
    request = GenerationRequest("r", "m", messages=tuple(messages), tools=tuple(tools))
    return tokenizer.render(request, agreed(messages, **wishes))


def sequence(
    model: InstalledModel, tokens: tuple[int, ...], sampling: SamplingParams = GREEDY, max_tokens: int = 24
) -> Sequence:
    name = f"s{next(IDS)}"
    return Sequence(
        id=name,
        request_id=name,
        owner=None,
        model=model,
        prompt=Prompt(tokens),
        sampling=sampling,
        max_tokens=max_tokens,
        eos_ids=frozenset(),
        submitted=time.monotonic(),
        seed=sampling.seed if sampling.seed is not None else random.getrandbits(64),
    )


def plan(chunk_tokens: int = 2048) -> Plan:
    """All prompts abreast."""
    return Plan(prompts=32, chunk_tokens=chunk_tokens, texts=32, text_tokens=chunk_tokens)


def admit(runner: MlxRunner, *sequences: Sequence) -> None:
    for one in sequences:
        one.cached_tokens = runner.admit(one)


def advance(runner: MlxRunner, answers: dict[str, list[int]], chunk_tokens: int = 2048) -> None:
    """One step, noting tokens and states as the engine does."""
    for output in runner.step(plan(chunk_tokens)).outputs:
        match output:
            case Decoded(one, token):
                answers.setdefault(one.id, []).append(token)
            case Prefilled(one, done_tokens):
                one.state = "decode" if done_tokens >= len(one.prompt.tokens) else "prefill"


def answer(runner: MlxRunner, *sequences: Sequence) -> list[list[int]]:
    """Generate all of them as one batch; their tokens, in order."""
    answers: dict[str, list[int]] = {}
    admit(runner, *sequences)
    while runner.sequences():
        advance(runner, answers)
    return [answers[one.id] for one in sequences]
