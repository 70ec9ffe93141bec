"""litellm and LangChain, through which many programs reach a server: chats, streams, tools, forms, vectors."""

from __future__ import annotations

import importlib
import json
import math
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, ConfigDict, Field

from tests.clients.test_tools import QUESTION, WEATHER
from tests.conftest import QWEN, Hearth

TEXTS = ["The river", "A letter"]


class Person(BaseModel):
    """Somebody."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=120)


@pytest.fixture(autouse=True, scope="module")
def nobody_else_is_asked() -> Iterator[None]:
    """Both like to fetch prices and send traces; here they are told not to, and could not."""
    look_up = socket.getaddrinfo

    def local_only(host: Any, *rest: Any, **more: Any) -> Any:
        assert host in ("127.0.0.1", "localhost"), f"{host} was asked for"
        return look_up(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        patch.setenv("LANGSMITH_TRACING", "false")
        patch.setattr(socket, "getaddrinfo", local_only)
        yield


@pytest.fixture(scope="module")
def litellm(nobody_else_is_asked: None) -> Any:
    """Imported here: it takes seconds, and reads its environment then."""
    return importlib.import_module("litellm")


@pytest.fixture
def to(hearth: Hearth) -> dict[str, Any]:
    return {"api_base": f"{hearth.base_url}/v1", "api_key": "none", "temperature": 0, "max_tokens": 200}


def test_litellm_chats_plain_and_streamed(litellm: Any, to: dict[str, Any]) -> None:
    asked: Any = {"model": "openai/ember", "messages": [{"role": "user", "content": "Hello!"}], **to}
    plain = litellm.completion(**asked)
    pieces = list(litellm.completion(**asked, stream=True))
    assert plain.choices[0].message.content
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == plain.choices[0].message.content
    assert plain.choices[0].finish_reason == pieces[-1].choices[0].finish_reason == "stop"
    assert plain.usage.prompt_tokens > 0 < plain.usage.completion_tokens


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_litellm_calls_a_tool(litellm: Any, to: dict[str, Any], streamed: bool) -> None:
    asked: Any = {"model": "openai/ember", "messages": QUESTION, "tools": [WEATHER], **to}
    answer = litellm.completion(**asked, stream=streamed)
    whole = litellm.stream_chunk_builder(list(answer)) if streamed else answer
    (call,) = whole.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Velmora"})
    assert whole.choices[0].finish_reason == "tool_calls"
    history = [*QUESTION, whole.choices[0].message.model_dump()]
    history.append({"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'})
    after = litellm.completion(**{**asked, "messages": history})
    assert after.choices[0].message.content and not after.choices[0].message.tool_calls


def test_litellm_keeps_a_form_and_makes_vectors(litellm: Any, to: dict[str, Any]) -> None:
    answer = litellm.completion(model=f"openai/{QWEN}", messages=QUESTION, response_format=Person, **to)
    assert Person.model_validate_json(answer.choices[0].message.content)
    vectors = litellm.embedding(
        model=f"openai/{QWEN}", input=TEXTS, api_base=to["api_base"], api_key="none", encoding_format="float"
    )
    assert [math.hypot(*row["embedding"]) for row in vectors.data] == pytest.approx([1, 1])


def test_litellm_speaks_to_the_messages_route(litellm: Any, hearth: Hearth) -> None:
    answer = litellm.completion(
        model="anthropic/ember", messages=QUESTION, tools=[WEATHER], api_base=hearth.base_url, api_key="none"
    )
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Velmora"}


def test_litellm_knows_what_was_refused(litellm: Any, to: dict[str, Any]) -> None:
    with pytest.raises(litellm.NotFoundError, match="no/such"):
        litellm.completion(model="openai/no/such", messages=QUESTION, num_retries=0, **to)


@pytest.fixture
def chain(hearth: Hearth) -> Iterator[Any]:
    def make(model: str, **fields: Any) -> ChatOpenAI:
        limits: Any = {"temperature": 0, "max_tokens": 200, "max_retries": 0, **fields}
        return ChatOpenAI(model=model, base_url=f"{hearth.base_url}/v1", api_key="none", **limits)

    yield make


def test_langchain_chats_plain_and_streamed(chain: Any) -> None:
    ember = chain("ember")
    plain = ember.invoke("Hello!")
    pieces = list(ember.stream("Hello!"))
    assert plain.content and "".join(piece.content for piece in pieces) == plain.content
    assert plain.usage_metadata["output_tokens"] > 0
    assert plain.response_metadata["finish_reason"] == "stop"


def test_langchain_calls_a_tool_and_goes_on(chain: Any) -> None:
    ember = chain("ember").bind_tools([WEATHER])
    called = ember.invoke(QUESTION[0]["content"])
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Velmora"})
    result = {"role": "tool", "tool_call_id": call["id"], "content": '{"temperature": 21, "condition": "sunny"}'}
    assert ember.invoke([*QUESTION, called, result]).content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_keeps_a_form_with_any_model(chain: Any, method: str) -> None:
    """A random model says anything, so that it is the server that keeps to the form."""
    answer = chain(QWEN, seed=4, temperature=1).with_structured_output(Person, method=method).invoke("Who?")
    assert isinstance(answer, Person)


def test_langchain_makes_vectors(hearth: Hearth) -> None:
    """Told not to cut texts itself, for which it would fetch another vendor's tokenizer."""
    fields: Any = {"model": QWEN, "base_url": f"{hearth.base_url}/v1", "api_key": "none"}
    vectors = OpenAIEmbeddings(**fields, check_embedding_ctx_length=False).embed_documents(TEXTS)
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1])
