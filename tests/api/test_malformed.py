"""A thousand broken chat bodies: refused or answered, never a 5xx, and no other answer notices."""

from __future__ import annotations

import copy
import json
import random
import threading
from collections.abc import Iterator
from typing import Any

import httpx

from tests.conftest import Hearth

BODIES = 1000
# Whatever is mutated, the other of the two limits keeps an accepted body's answer short.
FULL: dict[str, Any] = {
    "model": "MODEL",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hello"}], "name": "me"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ],
    "max_tokens": 1,
    "max_completion_tokens": 1,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "seed": 1,
    "stop": ["END", "STOP"],
    "stream": False,
    "stream_options": {"include_usage": True},
    "chat_template_kwargs": {"enable_thinking": False},
    "reasoning_effort": "none",
    "n": 1,
    "tools": [
        {
            "type": "function",
            "function": {"name": "f", "description": "does", "parameters": {"type": "object", "properties": {"x": {}}}},
        }
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "response_format": {"type": "text"},
    "logit_bias": {},
    "logprobs": False,
    "user": "me",
}
NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, 5e-324, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**400),
    *("", " ", "x", "\x00", "😀", "\u202e", "null", "x" * 5000, "<|im_end|>", "{{ 7*7 }}", "../../etc", "NaN"),
    *([], [None], [[]], {}, {"": ""}, {"type": "text"}, [1, "a"], ["x"] * 100, [{}] * 3, {"a": {"b": [{}]}}),
)
BROKEN_TEXT = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b'"\\ud800"',
    b'"\xff"',
    b"[" * 70 + b"]" * 70,
    b"01",
    b"'x'",
)
ALLOWED = {200, 400, 404, 413, 415}


def places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside a body."""
    children: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def mutate(body: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    mutated = copy.deepcopy(body)
    node: Any = mutated
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return mutated


def malformed_bodies(model: str) -> list[bytes]:
    """The same bodies in every run: a value out of place, two of them, broken text, broken bytes."""
    chance = random.Random(2)
    full = FULL | {"model": model}
    grid = [mutate(full, path, value) for path in places(full) for value in NASTY]
    bodies = [json.dumps(body).encode() for body in chance.sample(grid, BODIES * 6 // 10)]
    paths = [path for path in places(full) if len(path) == 1 and path[0] not in ("max_tokens", "messages")]
    while len(bodies) < BODIES * 8 // 10:
        body = mutate(
            mutate(full, chance.choice(paths), chance.choice(NASTY)), chance.choice(paths), chance.choice(NASTY)
        )
        bodies.append(json.dumps(body, ensure_ascii=False).encode())
    whole = json.dumps(full).encode()
    while len(bodies) < BODIES * 9 // 10:
        marked = json.dumps(mutate(full, chance.choice(list(places(full))), "@@")).encode()
        bodies.append(marked.replace(b'"@@"', chance.choice(BROKEN_TEXT)))
    while len(bodies) < BODIES:
        start = chance.randrange(len(whole))
        noise = bytes(chance.randrange(256) for _ in range(chance.randrange(8)))
        bodies.append(whole[:start] + noise + whole[start + chance.randrange(20) :])
    return bodies


def check(response: httpx.Response, body: bytes) -> None:
    assert response.status_code in ALLOWED, (response.status_code, response.text[:300], body[:300])
    assert response.headers["x-request-id"]
    if response.status_code != 200:
        error = response.json()["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert len(response.content) < 2000, body[:300]


def send_all(base_url: str, bodies: list[bytes]) -> list[int]:
    statuses = []
    with httpx.Client(base_url=base_url, timeout=10, headers={"Content-Type": "application/json"}) as client:
        for body in bodies:
            response = client.post("/v1/chat/completions", content=body)
            check(response, body)
            statuses.append(response.status_code)
    return statuses


def greedy_lines(base_url: str, model: str) -> list[str]:
    """Every delta of one long greedy stream."""
    body = {"model": model, "messages": [{"role": "user", "content": "Go on."}]} | {
        "temperature": 0,
        "max_tokens": 600,
        "stream": True,
    }
    with httpx.stream("POST", f"{base_url}/v1/chat/completions", json=body, timeout=60) as response:
        data = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    return [json.dumps(json.loads(line)["choices"]) for line in data]


def test_a_thousand_malformed_bodies_disturb_nobody(hearth: Hearth) -> None:
    model = hearth.models[0]
    undisturbed = greedy_lines(hearth.base_url, model)
    bodies = malformed_bodies(model)
    statuses: list[int] = []
    sender = threading.Thread(target=lambda: statuses.extend(send_all(hearth.base_url, bodies)))
    sender.start()
    disturbed = [greedy_lines(hearth.base_url, model)]
    while sender.is_alive():
        disturbed.append(greedy_lines(hearth.base_url, model))
    sender.join()
    assert len(statuses) == BODIES
    assert 0.5 < statuses.count(400) / BODIES < 1
    assert disturbed and all(lines == undisturbed for lines in disturbed)
    assert greedy_lines(hearth.base_url, model) == undisturbed
