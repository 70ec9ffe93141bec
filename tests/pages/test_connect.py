"""The connect page over the real server: texts that run as they stand, keys made and revoked, real answers."""

from __future__ import annotations

import ast
import contextlib
import html
import io
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import LLAMA, QWEN, Hearth, run_server
from webapp.pages.snippets import TOOLS, Connection, Snippet
from webapp.pages.trial import said_in

SECRET = re.compile(r"hearth_[\w-]{43}")
HX = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def hearth(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    yield from run_server(tmp_path_factory.mktemp("connect"), (models_dir,))


@pytest.fixture(autouse=True)
def fresh(hearth: Hearth) -> Iterator[None]:
    yield
    for key in hearth.server.keys.current:
        hearth.server.keys.revoke(key.name)


@pytest.fixture
def http(hearth: Hearth) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hearth.base_url, timeout=60) as client:
        yield client


def snippets(tool: str, to: Connection) -> tuple[Snippet, ...]:
    return next(each for each in TOOLS if each.name == tool).snippets(to)


def text(tool: str, to: Connection) -> str:
    return snippets(tool, to)[0].text


# The texts


AWKWARD = Connection("http://127.0.0.1:1", "hearth_a-b_c", 'it\'s "odd" $HOME `x` \\ ü 模型')


@pytest.mark.parametrize("tool", [tool.name for tool in TOOLS])
def test_every_text_names_address_key_and_model(tool: str) -> None:
    to = Connection("http://127.0.0.1:10242", "hearth_secret", QWEN)
    whole = "".join(snippet.text for snippet in snippets(tool, to))
    assert to.address in whole and to.key in whole and to.model in whole


def test_no_name_of_a_model_breaks_out_of_its_text() -> None:
    python = ast.parse(text("python", AWKWARD))
    assert AWKWARD.model in [node.value for node in ast.walk(python) if isinstance(node, ast.Constant)]
    ast.parse(text("anthropic", AWKWARD))
    assert tomllib.loads(text("codex", AWKWARD))["model"] == AWKWARD.model
    assert AWKWARD.model in json.loads(text("opencode", AWKWARD))["provider"]["hearth"]["models"]
    for tool, variable in (("claude-code", "$ANTHROPIC_MODEL"), ("aider", "")):
        script = text(tool, AWKWARD).replace("\nclaude\n", f'\nprintf %s "{variable}"\n').replace("\naider ", "\necho ")
        said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
        assert AWKWARD.model in said


@pytest.mark.parametrize("there_are_keys", [False, True])
def test_the_python_text_runs_as_it_stands(hearth: Hearth, there_are_keys: bool) -> None:
    if there_are_keys:
        hearth.server.keys.create({"name": "somebody"})
    for tool in ("python", "anthropic"):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(text(tool, Connection(hearth.base_url, "none", QWEN)), tool, "exec"), {})
        assert said.getvalue().strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_text_runs_as_it_stands(hearth: Hearth) -> None:
    script = text("curl", Connection(hearth.base_url, "none", LLAMA))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


# The page


def test_everything_is_on_it_without_a_script(http: httpx.Client) -> None:
    page = http.get("/connect").text
    assert f"<code>{http.base_url}/v1</code>".replace("/</code>", "</code>") in page.replace("//v1", "/v1")
    routes = {path for path in ("/v1/messages", "/v1/responses") if f'"{path}"' in http.get("/v1/openapi.json").text}
    for tool in TOOLS:
        offered = tool.route == "/v1/chat/completions" or tool.route in routes
        assert (f'id="panel-{tool.name}"' in page) == offered
    assert 'aria-current="page"' in page and "None yet." in page
    assert 'id="tool-curl" checked' in page


def test_another_model_and_key_in_the_texts(http: httpx.Client) -> None:
    form = {"model": LLAMA, "key": "hearth_mine", "tool": "aider"}
    part = http.post("/connect", data=form, headers=HX)
    assert part.text.lstrip().startswith("<form") and "<html" not in part.text
    assert 'id="tool-aider" checked' in part.text
    assert f"openai/{LLAMA}" in html.unescape(part.text) and "hearth_mine" in part.text
    assert "<html" in http.post("/connect", data=form).text


@pytest.mark.parametrize("headers", [{}, HX])
def test_a_key_is_made_shown_once_and_revoked(http: httpx.Client, headers: dict[str, str]) -> None:
    form = {"name": "aider", "scope": "inference", "expires": "2592000", "models": [QWEN], "tool": "python"}
    made = http.post("/connect/keys", data=form, headers=headers)
    secret = SECRET.search(made.text)
    assert secret is not None
    assert f'api_key="{secret[0]}"' in html.unescape(re.sub(r"</?span[^>]*>", "", made.text))
    assert 'id="tool-python" checked' in made.text and "shown only this once" in made.text
    assert http.get("/v1/models", headers={"x-api-key": secret[0]}).json()["data"][0]["id"] == QWEN
    page = http.get("/connect").text
    assert "aider" in page and secret[0] not in page and secret[0][:11] in page
    revoked = http.post("/connect/keys/revoke", data={"name": "aider"}, headers=headers)
    assert "is revoked." in revoked.text and "None yet." in revoked.text
    rows = http.get("/api/audit/logs", params={"kind": "admin", "limit": 2}).json()["logs"]
    assert [(row["who"], row["endpoint"]) for row in rows] == [("page", "keys.revoke"), ("page", "keys.create")]


def test_a_key_that_cannot_be_says_why_and_keeps_what_was_typed(http: httpx.Client) -> None:
    http.post("/api/keys", json={"name": "taken"})
    for name, words in (("a b", "must be 1 to 64"), ("taken", "There is a key")):
        refused = http.post("/connect/keys", data={"name": name, "scope": "admin"}, headers=HX)
        assert refused.status_code == 400
        assert words in refused.text and f'value="{name}"' in refused.text
        assert '<option value="admin" selected>' in refused.text


@pytest.mark.parametrize("tool", ["curl", "python", "anthropic", "claude-code"])
def test_trying_is_a_real_request(http: httpx.Client, tool: str) -> None:
    tried = http.post(f"/connect/try/{tool}", data={"model": QWEN}, headers=HX)
    assert tried.status_code == 200 and 'data-ok="yes"' in tried.text and "answered 200" in tried.text
    row = http.get("/api/audit/logs", params={"limit": 1}).json()["logs"][0]
    assert row["endpoint"] in tried.text and row["completion_tokens"] > 0
    body = json.loads(html.unescape(re.findall(r"<pre[^>]*><code>(.*?)</code>", tried.text, re.DOTALL)[-1]))
    assert said_in(body) in html.unescape(tried.text)


def test_trying_shows_what_is_wrong(http: httpx.Client, hearth: Hearth) -> None:
    refused = http.post("/connect/try/curl", data={"model": "nobody"}, headers=HX)
    assert 'data-ok="no"' in refused.text and "answered 404" in refused.text and "not installed" in refused.text
    hearth.server.keys.create({"name": "a"})
    wrong = http.post("/connect/try/curl", data={"model": QWEN, "key": "hearth_wrong", "tool": "curl"})
    assert "answered 401" in wrong.text and "<html" in wrong.text and "hearth_wrong" in wrong.text
    assert http.post("/connect/try/nothing", data={}, headers=HX).status_code == 404


def test_no_line_end_gets_into_a_header(http: httpx.Client) -> None:
    tried = http.post("/connect/try/curl", data={"model": QWEN, "key": "a\r\nX-Evil: 1"}, headers=HX)
    assert "answered 200" in tried.text


def test_from_another_machine_the_session_is_enough(tmp_path: Path, models_dir: Path) -> None:
    running = run_server(tmp_path, (models_dir,), host="0.0.0.0")
    hearth = next(running)
    secret = hearth.server.keys.create({"name": "owner", "scope": "admin"})[1]
    with httpx.Client(base_url=hearth.base_url, timeout=60) as http:
        http.post("/login", data={"key": secret})
        page = http.get("/connect").text
        assert (
            "Everybody needs a key" in page and "Bearer YOUR_KEY" in page and "Sign out" in page and "“owner”" in page
        )
        assert "answered 200" in http.post("/connect/try/curl", data={"model": QWEN}, headers=HX).text
        rows = http.get("/api/audit/logs", params={"limit": 1}).json()["logs"]
        assert rows[0]["who"] == "owner"
        kept = http.post("/connect/keys/revoke", data={"name": "owner"}, headers=HX)
        assert kept.status_code == 409 and "last admin key" in kept.text
    running.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"choices": [{"message": {"content": "hi"}}]}, "hi"),
        ({"choices": [{"message": {"content": None, "reasoning_content": "hm"}}]}, "hm"),
        ({"content": [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"output": [{"content": [{"text": "x"}]}, {"type": "reasoning"}]}, "x"),
        ({}, ""),
        ([], ""),
    ],
)
def test_what_an_answer_says(body: Any, said: str) -> None:
    assert said_in(body) == said
