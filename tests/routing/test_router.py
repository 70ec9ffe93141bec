"""Who answers a name, and what holds where the request says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import LLAMA, QWEN
from webapp.errors import ModelNotFound
from webapp.generation import GenerationRequest, InstalledModel, Message, SamplingParams
from webapp.paths import DataDir
from webapp.routing.profiles import Profile
from webapp.routing.terms import Target, Terms, terms
from webapp.server import Options, Server
from webapp.settings.table import Settings

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
        # template options, name by name
        ("template_options", {}, {"template_options": {"a": 1, "b": 2}}, {}, {}, {"a": 1, "b": 2}),
        (
            "template_options",
            {"template_options": {"b": False}},
            {"template_options": {"a": 1, "b": 2}},
            {},
            {},
            {"a": 1, "b": False},
        ),
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
    assert set(Terms.__slots__) == {"sampling", "max_tokens", "context_length", "template_options", "messages"}


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
