"""Broken bodies for every route that takes one: refused or answered, never a 5xx, and in the route's own shape."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest

from tests.api.test_malformed import ALLOWED, BROKEN_TEXT, NASTY, mutate, places
from tests.conftest import Hearth

BODIES = 250
TOOL_CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
ROUTES: dict[str, dict[str, Any]] = {
    "messages": {
        "model": "MODEL",
        "max_tokens": 1,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": ""}, TOOL_CALL]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "done"}]},
        ],
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "metadata": {"user_id": "me"},
        "stream": False,
    },
    "messages/count_tokens": {"model": "MODEL", "messages": [{"role": "user", "content": "hello"}], "system": "x"},
    "responses": {
        "model": "MODEL",
        "max_output_tokens": 1,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "text"}},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
        "tool_choice": "auto",
        "metadata": {"a": "b"},
        "store": False,
        "previous_response_id": None,
        "stream": False,
    },
    "completions": {"model": "MODEL", "prompt": ["a", "b"], "max_tokens": 1, "echo": True, "stream": False},
    "tokenize": {"model": "MODEL", "input": "hello", "add_special_tokens": True},
    "detokenize": {"model": "MODEL", "tokens": [1, 2, 3]},
}


def bodies(full: dict[str, Any]) -> list[bytes]:
    """The same in every run: a value out of place, and broken text."""
    chance = random.Random(3)
    # Whatever is mutated, answers stay short.
    found = [path for path in places(full) if path[-1] not in ("max_tokens", "max_output_tokens")]
    grid = [mutate(full, path, value) for path in found for value in NASTY]
    texts = [json.dumps(mutate(full, chance.choice(found), "@@")).encode() for _ in range(20)]
    broken = [text.replace(b'"@@"', chance.choice(BROKEN_TEXT)) for text in texts]
    return [*(json.dumps(body).encode() for body in chance.sample(grid, min(BODIES, len(grid)))), *broken]


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_broken_bodies_are_refused_or_answered(hearth: Hearth, route: str) -> None:
    statuses = []
    with httpx.Client(base_url=hearth.base_url, timeout=20, headers={"Content-Type": "application/json"}) as client:
        for body in bodies(ROUTES[route] | {"model": hearth.models[0]}):
            response = client.post(f"/v1/{route}", content=body)
            assert response.status_code in ALLOWED, (response.status_code, response.text[:300], body[:300])
            if response.status_code != 200:
                answer = response.json()
                assert answer["error"].keys() >= {"message", "type", "param", "code"} and len(response.content) < 2000
                assert (answer.get("type") == "error") == route.startswith("messages")
            statuses.append(response.status_code)
    assert statuses.count(400) > len(statuses) / 4
    assert not hearth.server.engine.snapshot.requests
