"""OpenAI's own Python client against a real server and a real, if tiny, model."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.conftest import Hearth

HELLO: Any = [{"role": "user", "content": "Tell me about the river."}]
LONG: Any = {"messages": HELLO, "max_tokens": 3000, "temperature": 0}


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(params=[0, 1], ids=["qwen3", "llama"])
def model(request: pytest.FixtureRequest, hearth: Hearth) -> str:
    return hearth.models[request.param]


def text_of(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def plain(client: OpenAI, model: str, **fields: Any) -> Any:
    chosen = {"messages": HELLO, "max_tokens": 24, "temperature": 0} | fields
    return client.chat.completions.create(model=model, **chosen)


def ids_of(client: OpenAI, model: str, text: str) -> list[int]:
    answer = httpx.post(f"{client.base_url}tokenize", json={"model": model, "input": text})
    return list(answer.json()["tokens"])


def is_idle(hearth: Hearth, within_seconds: float) -> bool:
    """Whether the engine forgets every request in time."""
    deadline = time.monotonic() + within_seconds
    while hearth.server.engine.snapshot.requests:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_plain(client: OpenAI, model: str) -> None:
    answer = plain(client, model)
    (choice,) = answer.choices
    assert choice.message.role == "assistant" and choice.message.content
    assert (choice.finish_reason, answer.model, answer.object) == ("length", model, "chat.completion")
    assert answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_streamed_is_the_plain_answer(client: OpenAI, model: str) -> None:
    whole = plain(client, model)
    chunks = list(plain(client, model, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert text_of(chunks) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 24
    assert chunks[:-1] and all(chunk.usage is None for chunk in chunks[:-1])


def test_a_prompt_seen_before_is_cached(client: OpenAI, model: str) -> None:
    messages = [{"role": "user", "content": "Say this exactly once and then once more."}]
    plain(client, model, messages=messages)
    usage = plain(client, model, messages=messages).usage
    assert 0 < usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_stop_cuts_the_text_before_it(client: OpenAI, model: str, streamed: bool) -> None:
    whole = plain(client, model).choices[0].message.content
    stop = whole[len(whole) // 2 :][:4]
    wanted = whole[: whole.index(stop)]
    for value in (stop, ["never in there", stop]):
        answer = plain(client, model, stop=value, stream=streamed)
        if streamed:
            chunks = list(answer)
            assert (text_of(chunks), chunks[-1].choices[0].finish_reason) == (wanted, "stop")
        else:
            (choice,) = answer.choices
            assert (choice.message.content, choice.finish_reason) == (wanted, "stop")


def test_a_seed_makes_chance_repeatable(client: OpenAI, model: str) -> None:
    texts = [plain(client, model, temperature=1, seed=seed).choices[0].message.content for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]


def test_all_roles_and_text_parts(client: OpenAI, model: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How is "}, {"type": "text", "text": "the weather?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    assert plain(client, model, messages=messages).choices[0].message.content


def test_max_completion_tokens(client: OpenAI, model: str) -> None:
    assert plain(client, model, max_completion_tokens=3).usage.completion_tokens == 3


def test_text_completion(client: OpenAI, model: str) -> None:
    fields: Any = {"model": model, "prompt": "The fire in the", "temperature": 0}
    whole = client.completions.create(**fields)
    assert whole.object == "text_completion" and whole.usage and whole.usage.completion_tokens == 16
    chunks = list(client.completions.create(**fields, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"
    by_ids = client.completions.create(model=model, prompt=[5, 6, 7], max_tokens=4)
    assert by_ids.usage and by_ids.usage.prompt_tokens == 3


def test_several_prompts_are_answered_as_each_alone(client: OpenAI, hearth: Hearth, model: str) -> None:
    prompts = ["The fire in the", "Once upon", "A river is"]
    fields: Any = {"model": model, "temperature": 0, "max_tokens": 12}
    alone = [client.completions.create(prompt=prompt, **fields) for prompt in prompts]
    wanted = [answer.choices[0].text for answer in alone]
    whole = client.completions.create(prompt=prompts, **fields)
    assert [(choice.index, choice.text) for choice in whole.choices] == list(enumerate(wanted))
    assert whole.usage and whole.usage.completion_tokens == 36
    assert whole.usage.prompt_tokens == sum(answer.usage.prompt_tokens for answer in alone if answer.usage)
    chunks = list(client.completions.create(prompt=prompts, stream=True, **fields))
    assert len({chunk.id for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert ["".join(choice.text for choice in choices if choice.index == index) for index in range(3)] == wanted
    assert sorted(choice.index for choice in choices if choice.finish_reason) == [0, 1, 2]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("as_ids", [False, True], ids=["text", "ids"])
@pytest.mark.parametrize("texts", [["Once upon"], ["Once upon"] * 2, ["Once upon", "A river"]])
def test_echo_puts_the_prompt_first(client: OpenAI, model: str, texts: list[str], as_ids: bool, n: int) -> None:
    prompts: list[Any] = [ids_of(client, model, text) if as_ids else text for text in texts]
    fields: Any = {"model": model, "temperature": 0, "max_tokens": 5, "n": n}
    fields["prompt"] = prompts if len(prompts) > 1 else prompts[0]
    bare = client.completions.create(**fields).choices
    echoes = [text for text in texts for _ in range(n)]
    wanted = [echo + choice.text for echo, choice in zip(echoes, bare, strict=True)]
    whole = client.completions.create(echo=True, **fields)
    assert [choice.text for choice in whole.choices] == wanted
    choices = [
        choice for chunk in client.completions.create(echo=True, stream=True, **fields) for choice in chunk.choices
    ]
    pieces = [[choice.text for choice in choices if choice.index == index] for index in range(len(wanted))]
    assert ["".join(of_one) for of_one in pieces] == wanted
    assert [of_one[0] for of_one in pieces] == echoes
    assert sorted(choice.index for choice in choices if choice.finish_reason) == list(range(len(wanted)))


def test_a_stream_that_echoes_ids_is_whole(client: OpenAI, model: str) -> None:
    body = {"model": model, "prompt": [5, 6, 7], "echo": True, "stream": True, "max_tokens": 3}
    answer = httpx.post(f"{client.base_url}completions", json=body)
    assert answer.status_code == 200 and answer.text.endswith("data: [DONE]\n\n")
    echo = httpx.post(f"{client.base_url}detokenize", json={"model": model, "tokens": [5, 6, 7]}).json()["text"]
    first = next(line for line in answer.text.splitlines() if line.startswith("data: "))
    assert json.loads(first.removeprefix("data: "))["choices"][0]["text"] == echo


@pytest.mark.parametrize("streamed", [False, True])
def test_an_echo_of_what_is_no_token_is_refused(client: OpenAI, hearth: Hearth, model: str, streamed: bool) -> None:
    fields: Any = {"model": model, "echo": True, "stream": streamed, "max_tokens": 3000}
    for prompt, param in (([5, 10**6], "prompt[1]"), ([[5], [6, 10**6]], "prompt[1][1]")):
        with pytest.raises(openai.BadRequestError) as refusal:
            client.completions.create(prompt=prompt, **fields)
        assert refusal.value.param == param
    assert is_idle(hearth, within_seconds=0.5)


def test_several_prompts_are_one_request(client: OpenAI, hearth: Hearth, model: str) -> None:
    fields: Any = {"model": model, "prompt": ["Once", "Twice"], "max_tokens": 3000}
    raw = client.completions.with_raw_response.create(stream=True, **fields)
    stream = raw.parse()
    next(stream)
    client.post(f"/requests/{raw.headers['x-request-id']}/cancel", cast_to=object)
    choices = [choice for chunk in stream for choice in chunk.choices]
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["cancelled"] * 2
    stream = client.completions.create(stream=True, **fields)
    next(stream)
    stream.close()
    assert is_idle(hearth, within_seconds=0.5)


def test_one_prompt_that_does_not_fit_refuses_all(client: OpenAI, hearth: Hearth, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.completions.create(model=model, prompt=["Once", "river " * 20_000], max_tokens=3000)
    assert (refusal.value.code, refusal.value.param) == ("context_length_exceeded", "prompt[1]")
    assert is_idle(hearth, within_seconds=0.5)


def test_models(client: OpenAI, hearth: Hearth) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert set(hearth.models) <= listed.keys()
    one: Any = client.models.retrieve(hearth.models[0])
    assert one.id == hearth.models[0] and one.context_length > 0
    assert one.state in ("ready", "loading", "loaded", "draining", "failed")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/has-this")


def test_unknown_model(client: OpenAI, hearth: Hearth) -> None:
    with pytest.raises(openai.NotFoundError) as refusal:
        plain(client, "gpt-9")
    error = refusal.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert hearth.models[0] in error.message
    assert error.request_id


def test_too_long_a_prompt(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        plain(client, model, messages=[{"role": "user", "content": "river " * 20_000}])
    assert (refusal.value.code, refusal.value.param) == ("context_length_exceeded", "messages")
    assert "maximum context length is" in refusal.value.message


def test_unsupported_parameter(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        plain(client, model, verbosity="high")
    assert (refusal.value.code, refusal.value.param) == ("unsupported_parameter", "verbosity")


def test_headers(client: OpenAI, model: str) -> None:
    fields: Any = {"model": model, "messages": HELLO, "max_tokens": 1, "extra_body": {"mirostat": 2}}
    for streamed in (False, True):
        raw = client.chat.completions.with_raw_response.create(**fields, stream=streamed)
        assert raw.headers["x-request-id"] and raw.headers["openai-version"] == "2020-10-01"
        assert int(raw.headers["openai-processing-ms"]) >= 0
        assert raw.headers["cache-control"] == "no-store"
        assert raw.headers["x-hearth-ignored"] == "mirostat"
        raw.http_response.read()


def test_closing_a_stream_frees_its_place(client: OpenAI, hearth: Hearth, model: str) -> None:
    stream = client.chat.completions.create(model=model, stream=True, **LONG)
    for _ in range(5):
        next(stream)
    stream.close()
    assert is_idle(hearth, within_seconds=0.5)


def test_leaving_a_plain_request_frees_its_place(client: OpenAI, hearth: Hearth, model: str) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(model=model, **LONG)
    assert is_idle(hearth, within_seconds=0.5)


def test_cancelling_from_another_connection(client: OpenAI, hearth: Hearth, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, stream=True, **LONG)
    stream = raw.parse()
    next(stream)
    path = f"/requests/{raw.headers['x-request-id']}/cancel"
    assert client.post(path, cast_to=object) == {"id": raw.headers["x-request-id"], "cancelled": True}
    *_, last = stream
    assert last.choices[0].finish_reason == "cancelled"
    assert is_idle(hearth, within_seconds=0.5)
    with pytest.raises(openai.NotFoundError):
        client.post(path, cast_to=object)


def test_sixteen_at_once_are_each_what_they_are_alone(client: OpenAI, hearth: Hearth, model: str) -> None:
    prompts = [f"{'Tell me more. ' * number}What is {number}?" for number in range(16)]
    alone = [plain(client, model, messages=[{"role": "user", "content": text}]) for text in prompts]

    async def one(together: AsyncOpenAI, text: str) -> str:
        chunks = await together.chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], max_tokens=24, temperature=0, stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    async def all_at_once() -> list[str]:
        async with AsyncOpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0) as together:
            return await asyncio.gather(*(one(together, text) for text in prompts))

    # On a thread of its own, as the browser tests leave an event loop running on this one.
    with ThreadPoolExecutor() as elsewhere:
        together = elsewhere.submit(asyncio.run, all_at_once()).result()
    assert together == [answer.choices[0].message.content for answer in alone]


def test_a_client_thread_per_request(client: OpenAI, model: str) -> None:
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(plain(client, model).choices[0].message.content))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 8 and len(set(answers)) == 1


@pytest.fixture
def pirates(hearth: Hearth) -> Iterator[tuple[str, str]]:
    """Two profiles of one model."""
    profiles = hearth.server.profiles
    common = {"model": hearth.models[0], "temperature": 0}
    profiles.create({**common, "name": "pirate", "system_prompt": "Talk like a pirate.", "max_tokens": 9})
    profiles.create({**common, "name": "crew/cook", "max_tokens": 5})
    yield "pirate", "crew/cook"
    profiles.delete("pirate")
    profiles.delete("crew/cook")


def test_a_profile_answers_with_its_own_defaults(client: OpenAI, hearth: Hearth, pirates: tuple[str, str]) -> None:
    asked: Any = {"model": "pirate", "messages": HELLO}
    answer = client.chat.completions.create(**asked)
    assert (answer.model, answer.usage.completion_tokens) == ("pirate", 9)
    told: Any = [{"role": "system", "content": "Talk like a pirate."}, *HELLO]
    same = plain(client, hearth.models[0], messages=told, max_tokens=9)
    assert answer.choices[0].message.content == same.choices[0].message.content
    assert answer.usage.prompt_tokens == same.usage.prompt_tokens
    streamed = list(client.chat.completions.create(**asked, stream=True))
    assert text_of(streamed) == answer.choices[0].message.content and streamed[0].model == "pirate"


def test_a_request_says_more_than_a_profile(client: OpenAI, hearth: Hearth, pirates: tuple[str, str]) -> None:
    own: Any = [{"role": "system", "content": "Be brief."}, *HELLO]
    answer = plain(client, "pirate", messages=own, max_tokens=12)
    same = plain(client, hearth.models[0], messages=own, max_tokens=12)
    assert answer.usage.completion_tokens == 12
    assert answer.choices[0].message.content == same.choices[0].message.content


def test_two_profiles_share_one_loaded_model(client: OpenAI, hearth: Hearth, pirates: tuple[str, str]) -> None:
    for name in (*pirates, hearth.models[0]):
        assert plain(client, name, max_tokens=2).model == name
    known = [model["id"] for model in httpx.get(f"{hearth.base_url}/api/pool").json()["models"]]
    assert known.count(hearth.models[0]) == 1 and not set(pirates) & set(known)
    assert {model.id for model in client.models.list()} >= set(pirates)


def test_a_text_completion_by_a_profile_is_as_long_as_the_profile_says(
    client: OpenAI, pirates: tuple[str, str]
) -> None:
    answer = client.completions.create(model="crew/cook", prompt="The fire in the")
    assert answer.usage and answer.usage.completion_tokens == 5
