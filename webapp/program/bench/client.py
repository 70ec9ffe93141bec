"""A client of the bench: streams one chat after the other, and measures when each piece of text arrives."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from webapp.errors import HearthError
from webapp.program.bench.prompts import Dialogue, DialogueMessage

REQUEST_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The measurements of one answer. `gaps_seconds` are the times between its pieces of text."""

    ttft_seconds: float
    duration_seconds: float
    gaps_seconds: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    text: str


class Client:
    """Streams chat completions, greedy, from one base URL."""

    def __init__(self, base_url: str, model: str, max_tokens: int, key: str | None = None):
        self._address = urlsplit(base_url).netloc
        self._headers = {"Content-Type": "application/json"} | _authorization(key)
        self._model = model
        self._max_tokens = max_tokens

    def converse(self, conversation: Dialogue) -> Iterator[Sample]:
        """Hold a dialogue and yield the sample of each answer, which becomes part of the next prompt."""
        messages: list[DialogueMessage] = []
        for turn in conversation.turns:
            messages += turn
            sample = self.stream(messages, conversation.fields)
            messages.append({"role": "assistant", "content": sample.text})
            yield sample

    def stream(self, messages: Sequence[DialogueMessage], fields: Mapping[str, Any] = MappingProxyType({})) -> Sample:
        """Stream one answer. Raises HearthError with the server's error, OSError if no server answers."""
        body = {
            "model": self._model,
            "messages": messages,
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **fields,
        }
        connection = http.client.HTTPConnection(self._address, timeout=REQUEST_TIMEOUT_SECONDS)
        started = time.perf_counter()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), self._headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise HearthError(f"status {response.status}: {response.read(500).decode(errors='replace')}")
            return _read_stream(response, started)
        finally:
            connection.close()


def _read_stream(response: http.client.HTTPResponse, started: float) -> Sample:
    text: list[str] = []
    times: list[float] = []
    usage: dict[str, Any] | None = None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            raise HearthError(f"in the stream: {chunk['error'].get('message')}")
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if piece := delta.get("content") or delta.get("reasoning_content"):
                times.append(time.perf_counter())
                text.append(piece)
    ended = time.perf_counter()
    if usage is None:
        raise HearthError("the stream ended without usage")
    first = times[0] if times else ended
    gaps = tuple(after - before for before, after in itertools.pairwise(times))
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    counts = (usage["prompt_tokens"], cached, usage["completion_tokens"])
    return Sample(first - started, ended - started, gaps, *counts, "".join(text))


def first_model(base_url: str, key: str | None = None) -> str:
    """The id of the model that the server lists first. Raises HearthError if it lists none, or answers an error."""
    listed = _get(base_url, "/v1/models", key)["data"]
    if not listed:
        raise HearthError("The server has no model.")
    return str(listed[0]["id"])


def _authorization(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _get(base_url: str, path: str, key: str | None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    try:
        connection.request("GET", quote(path), headers=_authorization(key))
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise HearthError(f"status {response.status}: {response.read(500).decode(errors='replace')}")
        return dict(json.loads(response.read()))
    finally:
        connection.close()
