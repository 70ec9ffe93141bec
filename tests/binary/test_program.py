"""From start to stop: the page, a streamed chat, the openai client, the end, and what is left behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.binary.conftest import FOLDER, Bare, Serve, Served, both, open_files
from tests.wsgi.conftest import eventually

SYSTEM_LIBRARIES = ("/usr/", "/lib")


def ask(served: Served, text: str = "What is Hearth?") -> str:
    """One streamed answer of Ember, by the openai client."""
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", timeout=60, max_retries=0) as client:
        chunks = list(
            client.chat.completions.create(
                model="ember", messages=[{"role": "user", "content": text}], stream=True, max_tokens=60, temperature=0
            )
        )
    assert len(chunks) > 5
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def footprint(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


@both
def test_from_start_to_stop(bare: Bare, serve: Serve) -> None:
    before = footprint(FOLDER.parent)
    served = serve()
    page = httpx.get(f"{served.url}/chat")
    assert page.status_code == 200 and "Hello, I am" in page.text
    for asset in set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text)):
        assert httpx.get(served.url + asset).status_code == 200, asset
    with OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        assert "ember" in [model.id for model in client.models.list()]
    assert "model" in ask(served)
    opened = open_files(served.pid)
    for _ in range(5):
        ask(served)
    assert open_files(served.pid) == opened
    stopped = bare.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Hearth has stopped.\n")
    assert served.process.wait(20) == 0
    assert footprint(FOLDER.parent) == before
    # Nothing but the data folder, and what MLX compiles for the CPU where there is a compiler.
    assert {path.name for path in bare.home.iterdir()} <= {"data", "tmp", ".cache"}
    assert {path.name for path in bare.temporary.iterdir()} <= {"mlx"}


def test_it_maps_only_what_it_brought_and_the_system(serve: Serve) -> None:
    served = serve()
    ask(served)
    mapped = set(re.findall(r"\s(/\S+\.so\S*)$", Path(f"/proc/{served.pid}/maps").read_text(), re.M))
    own = (str(FOLDER), "/tmp", str(Path(f"/proc/{served.pid}/exe").readlink().parent))
    assert [path for path in mapped if not path.startswith((*own, *SYSTEM_LIBRARIES))] == []
    assert [path for path in mapped if "site-packages" in path] == []


def test_a_page_s_chat_is_answered(serve: Serve) -> None:
    served = serve()
    with httpx.Client(base_url=served.url, follow_redirects=True) as client:
        sent = client.post("/chat", data={"chat": "chat-0001", "text": "What is Hearth?", "model": "ember"})
        assert sent.status_code == 200
        assert eventually(lambda: 'data-state="ok"' in client.get("/chat/chat-0001").text)
        assert '<div class="prose' in client.get("/chat/chat-0001").text


def test_what_is_imported_late_is_there_too(serve: Serve) -> None:
    """A grammar, Anthropic's messages, embeddings, the metrics: each leans on a library of its own."""
    served = serve()
    schema = {"type": "object", "properties": {"fire": {"type": "boolean"}}, "required": ["fire"]}
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema | {"additionalProperties": False}}}
    body = {"model": "ember", "messages": [{"role": "user", "content": "Is it warm?"}], "max_tokens": 200}
    with httpx.Client(base_url=served.url, timeout=60) as client:
        answer = client.post("/v1/chat/completions", json=body | {"response_format": form})
        assert isinstance(json.loads(answer.json()["choices"][0]["message"]["content"])["fire"], bool)
        assert client.post("/v1/messages", json=body).json()["type"] == "message"
        assert client.post("/v1/embeddings", json={"model": "ember", "input": "fire"}).status_code == 200
        assert "hearth" in client.get("/metrics").text
        assert client.get("/about").status_code == 200
        assert "licence" in client.get("/about/licences").text.lower()


def test_signals_and_exit_statuses(bare: Bare, serve: Serve) -> None:
    served = serve()
    ask(served)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        strict = bare.run("serve", "--no-browser", "--strict-port", "--port", str(taken.getsockname()[1]))
        assert strict.returncode == 98
    assert bare.run("serve", "--host", "192.0.2.1").returncode == 2
    assert bare.run("version").stdout.startswith("hearth ")
    assert bare.run("bogus").returncode == 2


@both
def test_a_restart_comes_back(bare: Bare, serve: Serve) -> None:
    served = serve()
    assert httpx.post(f"{served.url}/settings/restart", headers={"HX-Request": "true"}).status_code == 200
    assert served.process.stdout is not None
    url = served.process.stdout.readline().rpartition(" ")[2].strip()
    again = Served(served.process, url, json.loads((bare.data / "run" / "server.json").read_text())["pid"])
    assert "model" in ask(again)
    assert bare.run("stop").returncode == 0
    assert served.process.wait(20) == 0


@both
def test_launching(bare: Bare) -> None:
    # Each click on the onefile unpacks all of it first.
    clicks = [bare.begin() for _ in range(10 if bare.program.parent == FOLDER else 3)]
    said = {click.communicate(timeout=120) for click in clicks}
    assert {click.returncode for click in clicks} == {0}
    assert len(said) == 1, said
    url = said.pop()[0].rpartition(" ")[2].strip()
    began = time.monotonic()
    assert bare.run().stdout == f"Hearth is at {url}\n"
    print(f"{bare.program.name}: an open Hearth is found in {time.monotonic() - began:.2f} s")
    assert httpx.get(f"{url}/health").json()["status"] == "healthy"
    assert bare.run("stop").returncode == 0


def test_started_and_stopped_again_and_again(bare: Bare, serve: Serve) -> None:
    """A library that aborts at the exit does so now and then; `tools/package/rounds.py` does this thirty times."""
    for _ in range(3):
        served = serve()
        ask(served)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0


@pytest.mark.parametrize("command", ["status", "sign-in"])
def test_what_needs_a_server_says_that_there_is_none(bare: Bare, command: str) -> None:
    assert "is not running" in bare.run(command).stderr
