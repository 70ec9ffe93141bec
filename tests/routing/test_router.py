"""Who answers a name, and what holds where the request says nothing."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from pathlib import Path

import pytest

from tests.conftest import LLAMA, QWEN
from webapp.errors import ModelNotFound, QueueFull
from webapp.generation import (
    Canceller,
    EmbeddingRequest,
    GenerationRequest,
    InstalledModel,
    Message,
    SamplingParams,
    Terms,
)
from webapp.paths import DataDir
from webapp.people.access import Visitor
from webapp.providers.provider import MayCancel
from webapp.routing.profiles import Profile
from webapp.routing.router import Router
from webapp.routing.terms import Target, terms
from webapp.server import Options, Server
from webapp.settings.table import Settings
from webapp.stream import Stream

HI = Message.of("user", "Hi")
PIRATE = Message.of("system", "Talk like a pirate.")
OWN = Message.of("system", "Be brief.")
DEVELOPER = Message.of("developer", "Be brief.")


def agreed(
    field: str,
    request: dict[str, object],
    profile: dict[str, object],
    model: dict[str, float],
    server: dict[str, float],
) -> object:
    installed = InstalledModel("m", Path(), 4096, 0, 0, sampling=model)
    target = Target(installed, Profile("p", "m", **profile) if profile else None)
    return getattr(
        terms(GenerationRequest("id", "p", **{"messages": (HI,), **request}), target, Settings(**server)), field
    )


@pytest.mark.parametrize(
    ("field", "request_", "profile", "model", "server", "expected"),
    [
        # sampling: request over profile over model over server, each value by itself
        ("sampling", {}, {}, {}, {}, SamplingParams()),
        ("sampling", {}, {}, {}, {"temperature": 0.3}, SamplingParams(temperature=0.3)),
        ("sampling", {}, {}, {"temperature": 0.6}, {"temperature": 0.3}, SamplingParams(temperature=0.6)),
        ("sampling", {}, {"temperature": 0.0}, {"temperature": 0.6}, {}, SamplingParams(temperature=0.0)),
        ("sampling", {"sampling": {"temperature": 0}}, {"temperature": 0.9}, {}, {}, SamplingParams(temperature=0)),
        ("sampling", {}, {"top_p": 0.5}, {"top_k": 20}, {"top_p": 0.9}, SamplingParams(top_p=0.5, top_k=20)),
        ("sampling", {}, {"top_k": 0}, {"top_k": 20}, {}, SamplingParams(top_k=0)),
        ("sampling", {"sampling": {"seed": 0}}, {"min_p": 0.1}, {}, {}, SamplingParams(min_p=0.1, seed=0)),
        ("sampling", {}, {"repetition_penalty": 1.1}, {}, {}, SamplingParams(repetition_penalty=1.1)),
        # how long an answer may become
        ("max_tokens", {}, {}, {}, {"max_tokens": 7}, 7),
        ("max_tokens", {}, {"max_tokens": 5}, {}, {"max_tokens": 7}, 5),
        ("max_tokens", {"max_tokens": 9}, {"max_tokens": 5}, {}, {"max_tokens": 7}, 9),
        ("max_tokens", {"prompt": "Once"}, {}, {}, {"max_tokens": 7}, 16),
        ("max_tokens", {"prompt": "Once"}, {"max_tokens": 5}, {}, {}, 5),
        # the smaller context wins
        ("context_length", {}, {}, {}, {}, 4096),
        ("context_length", {}, {"context_length": 512}, {}, {}, 512),
        ("context_length", {}, {"context_length": 8192}, {}, {}, 4096),
        # what a profile wishes of a template; above it stands what the request says, in that template's words
        ("template_wishes", {}, {"template_options": {"a": 1, "b": 2}}, {}, {}, {"a": 1, "b": 2}),
        ("template_wishes", {"template_options": {"b": False}}, {"template_options": {"b": 2}}, {}, {}, {"b": 2}),
        ("template_wishes", {"template_options": {"b": False}}, {}, {}, {}, {}),
        # the system prompt, unless the chat brings its own
        ("messages", {}, {}, {}, {}, (HI,)),
        ("messages", {}, {"system_prompt": PIRATE.text}, {}, {}, (PIRATE, HI)),
        ("messages", {"messages": (OWN, HI)}, {"system_prompt": PIRATE.text}, {}, {}, (OWN, HI)),
        ("messages", {"messages": (HI, DEVELOPER)}, {"system_prompt": PIRATE.text}, {}, {}, (HI, DEVELOPER)),
        ("messages", {"messages": (), "prompt": "Once"}, {"system_prompt": PIRATE.text}, {}, {}, ()),
    ],
)
def test_request_over_profile_over_model_over_server(
    field: str,
    request_: dict[str, object],
    profile: dict[str, object],
    model: dict[str, float],
    server: dict[str, float],
    expected: object,
) -> None:
    assert agreed(field, request_, profile, model, server) == expected


def test_the_table_above_speaks_of_every_term() -> None:
    assert set(Terms.__slots__) == {"sampling", "max_tokens", "context_length", "template_wishes", "messages"}


@pytest.fixture
def server(tmp_path: Path, models_dir: Path) -> Server:
    server = Server(Options((models_dir,), {}, {"HF_HUB_CACHE": str(tmp_path)}), DataDir.at(tmp_path))
    server.profiles.create({"name": "helper", "model": QWEN, "context_length": 100})
    return server


def test_a_name_is_a_profiles_or_a_models(server: Server) -> None:
    helper = server.router.resolve("helper")
    assert (helper.model.id, helper.name, helper.context_length) == (QWEN, "helper", 100)
    alone = server.router.resolve(QWEN)
    assert (alone.profile, alone.name, alone.context_length) == (None, QWEN, 4096)
    assert [target.name for target in server.router.targets()] == ["helper", LLAMA, QWEN, "ember"]


def test_an_unknown_name_is_told_who_would_answer(server: Server) -> None:
    with pytest.raises(ModelNotFound, match=rf"'gpt-9' is not installed.*{QWEN}.*Profiles: helper\."):
        server.router.resolve("gpt-9")


def test_a_profile_whose_model_is_gone_says_which(server: Server, tmp_path: Path) -> None:
    bare = Server(Options((), {}, {"HF_HUB_CACHE": str(tmp_path)}), DataDir.at(tmp_path))
    with pytest.raises(ModelNotFound, match=f"'helper' needs the model '{QWEN}', which is not installed"):
        bare.router.resolve("helper")
    assert "helper" not in [target.name for target in bare.router.targets()]


class Recorder:
    """A provider in plain Python that notes what it was asked, refuses prompts that say so, and knows who left."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.closed: list[str] = []

    def models(self) -> tuple[str, ...]:
        return ("elsewhere/large",)

    def generate(self, model: str, request: GenerationRequest, terms: Terms) -> Stream:
        if request.prompt == "refuse":
            raise QueueFull(1)
        self.asked.append((model, request, terms))
        return Stream(iter(()), lambda: self.closed.append(request.id), answered_by=model)

    def embed(self, model: str, request: EmbeddingRequest, context_length: int) -> Stream:
        self.asked.append((model, request, context_length))
        return Stream(iter(()), lambda: None, answered_by=model)

    def count_tokens(self, model: str, request: GenerationRequest, terms: Terms) -> int:
        return len(self.render(model, request, terms))

    def render(self, model: str, request: GenerationRequest, terms: Terms) -> tuple[int, ...]:
        self.asked.append((model, request, terms))
        return tuple(range(len(terms.messages)))

    def tokenize(self, model: str, text: str, special: bool) -> tuple[int, ...]:
        self.asked.append((model, text, special))
        return (1, 2)

    def detokenize(self, model: str, tokens: Seq[int]) -> str:
        self.asked.append((model, tokens))
        return "text"

    def cancel(self, request_id: str, by: Canceller, may_cancel: MayCancel) -> bool:
        self.asked.append((request_id, by))
        return True


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def router(server: Server, recorder: Recorder) -> Router:
    server.profiles.replace("helper", {"model": QWEN, "context_length": 100, "system_prompt": PIRATE.text})
    return Router(server.catalog, server.profiles, recorder, lambda: Settings(max_tokens=7))


def test_a_provider_is_asked_by_its_own_name_and_with_complete_terms(router: Router, recorder: Recorder) -> None:
    request = GenerationRequest("r", "helper", messages=(HI,))
    assert router.generate(request).answered_by == QWEN
    complete = Terms((PIRATE, HI), {}, SamplingParams(temperature=0.0), 7, 100)
    assert recorder.asked == [(QWEN, request, complete)]
    assert (router.count_tokens(request), router.render(request)) == (2, (0, 1))
    assert recorder.asked[1:] == [(QWEN, request, complete)] * 2


def test_what_has_no_terms_is_only_routed(router: Router, recorder: Recorder) -> None:
    texts = EmbeddingRequest("e", "helper", ("a",))
    assert router.embed(texts).answered_by == QWEN
    assert router.tokenize("helper", "ab", special=True) == (1, 2)
    assert router.detokenize(LLAMA, (1, 2)) == "text"
    assert router.cancel("e", "api", Visitor())
    assert recorder.asked == [(QWEN, texts, 100), (QWEN, "ab", True), (LLAMA, (1, 2)), ("e", "api")]


def test_of_several_answers_all_begin_or_none(router: Router, recorder: Recorder) -> None:
    fine, refused = (GenerationRequest(prompt, LLAMA, prompt=prompt) for prompt in ("fine", "refuse"))
    with pytest.raises(QueueFull):
        router.generate_all([fine, refused])
    assert recorder.closed == ["fine"]


def test_an_unknown_name_is_told_what_the_provider_has(router: Router) -> None:
    with pytest.raises(ModelNotFound, match=r"elsewhere/large.*Profiles: helper\."):
        router.generate(GenerationRequest("r", "gpt-9", messages=(HI,)))
