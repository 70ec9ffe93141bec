"""One line per finished request that generates: complete, true about failures, and without content."""

from __future__ import annotations

import logging
import re
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import Hearth
from tests.wsgi.conftest import eventually

SECRET = "xyzzy-secret"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO, "webapp.api")
    return Lines(caplog)


class Lines:
    def __init__(self, caplog: pytest.LogCaptureFixture):
        self._caplog = caplog

    def only(self) -> dict[str, str]:
        """The fields of the one line, which may come a moment after the response."""
        assert eventually(lambda: bool(self._messages()))
        (message,) = self._messages()
        assert SECRET not in message and "\n" not in message
        return {"id": message.split()[0], **dict(re.findall(r"(\w+)=('[^']*'|\S+)", message))}

    def _messages(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records if record.name == "webapp.api"]


def ask(hearth: Hearth, **body: object) -> httpx.Response:
    said = {"model": hearth.models[0], "messages": [{"role": "user", "content": SECRET}], "max_tokens": 3, **body}
    headers = {"X-Client-Request-Id": "mine-1"}
    return httpx.post(f"{hearth.base_url}/v1/chat/completions", json=said, headers=headers, timeout=30)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer(hearth: Hearth, lines: Lines, stream: bool) -> None:
    response = ask(hearth, stream=stream)
    line = lines.only()
    assert (line["id"], line["client_id"]) == (response.headers["x-request-id"], "mine-1")
    assert (line["model"], line["status"], line["finish"]) == (repr(hearth.models[0]), "200", "length")
    assert int(line["prompt"]) > 0 and int(line["cached"]) >= 0 and line["completion"] == "3"
    assert 0 <= int(line["ttft_ms"]) <= int(line["duration_ms"])


@pytest.mark.parametrize(
    ("body", "status"), [({"model": "no/such\nmodel"}, "404"), ({"audio": {}}, "400"), ({"messages": SECRET}, "400")]
)
def test_a_refusal(hearth: Hearth, lines: Lines, body: dict[str, object], status: str) -> None:
    response = ask(hearth, **body)
    line = lines.only()
    assert (line["id"], line["status"], line["finish"]) == (response.headers["x-request-id"], status, "-")


def test_cancelled_from_elsewhere_is_no_failure(hearth: Hearth, lines: Lines) -> None:
    body = {"model": hearth.models[0], "prompt": SECRET, "max_tokens": 3000, "stream": True}
    with httpx.stream("POST", f"{hearth.base_url}/v1/completions", json=body, timeout=30) as stream:
        cancel = f"{hearth.base_url}/v1/requests/{stream.headers['x-request-id']}/cancel"
        assert httpx.post(cancel).status_code == 200
        stream.read()
    line = lines.only()
    assert (line["status"], line["finish"]) == ("200", "cancelled")


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_that_leaves(hearth: Hearth, lines: Lines, stream: str) -> None:
    body = f'{{"model": "{hearth.models[0]}", "prompt": "{SECRET}", "max_tokens": 3000, "stream": {stream}}}'
    address = urlsplit(hearth.base_url)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0)) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert eventually(lambda: hearth.server.engine.snapshot.requests != ())
    assert lines.only()["status"] == "499"
