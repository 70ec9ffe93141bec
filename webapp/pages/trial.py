"""Sends one real request to this server, over HTTP and with the key that a tool would send."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 300.0
LONGEST_SHOWN = 20_000


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a trial. `status` is 0 without a response; `answer` is the text for people, `body` the JSON."""

    status: int
    seconds: float
    answer: str
    body: str

    @property
    def ok(self) -> bool:
        return self.status == http.client.OK


def ask(host: str, port: int, route: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Trial:
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", route, json.dumps(body), {**headers, "Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return Trial(0, time.monotonic() - began, f"Hearth did not answer: {error}", "")
    finally:
        connection.close()
    return Trial(response.status, time.monotonic() - began, *_read(text))


def _read(text: str) -> tuple[str, str]:
    try:
        body = json.loads(text)
    except ValueError:
        return text[:LONGEST_SHOWN], ""
    return said_in(body) or "The answer is empty.", json.dumps(body, indent=2, ensure_ascii=False)[:LONGEST_SHOWN]


def said_in(body: Any) -> str:
    """Return the text of an answer in the shape of OpenAI's chat or responses or of Anthropic, or of an error."""
    match body:
        case {"error": {"message": str(message)}}:
            return message
        case {"choices": [{"message": {"content": content, **more}}, *_]}:
            return str(content or more.get("reasoning_content") or "")
        case {"content": [*blocks]}:
            return "".join(str(block.get("text") or block.get("thinking") or "") for block in blocks)
        case {"output": [*items]}:
            parts = [part for item in items for part in item.get("content") or ()]
            return "".join(str(part.get("text", "")) for part in parts)
    return ""
