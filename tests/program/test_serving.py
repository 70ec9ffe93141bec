"""The program as a process: its command line, ready line, lock, signals and exit status."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import QWEN
from tests.wsgi.conftest import eventually
from webapp.errors import HearthError
from webapp.program.serving import ALREADY_RUNNING_STATUS, LOG_BYTES, PORT_TAKEN_STATUS, listen
from webapp.settings.table import Settings

READY = "Hearth is ready at http://127.0.0.1:"
Hearths = Callable[..., subprocess.Popen[str]]


def hearth(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webapp", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environ}, check=False
    )


@pytest.fixture
def start(tmp_path: Path, models_dir: Path) -> Iterator[Hearths]:
    """Starts servers on one data folder, and ends what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "webapp", "serve", "--no-browser", "--data-dir", str(tmp_path), *arguments]
        process = subprocess.Popen(
            [*command, "--models-dir", str(models_dir)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(READY), line
    return int(line.removeprefix(READY))


def test_from_start_to_stop(start: Hearths, tmp_path: Path) -> None:
    process = start("--port", "0")
    port = port_of(process)
    report = json.loads(hearth("status", "--json", "--data-dir", str(tmp_path)).stdout)
    assert (report["url"], report["pid"]) == (f"http://127.0.0.1:{port}", process.pid)
    again = hearth("serve", "--no-browser", "--data-dir", str(tmp_path))
    assert again.returncode == ALREADY_RUNNING_STATUS
    assert f"already running at http://127.0.0.1:{port}" in again.stderr
    stopped = hearth("stop", "--data-dir", str(tmp_path))
    assert (stopped.returncode, stopped.stdout) == (0, "Hearth has stopped.\n")
    assert process.wait(10) == 0
    assert process.stdout is not None
    assert process.stdout.read() == ""
    assert hearth("status", "--data-dir", str(tmp_path)).returncode == 1


# What `hearth serve` does, with a web server whose loop breaks.
BROKEN_LOOP = """
import sys
from pathlib import Path
from webapp.paths import DataDir
from webapp.program.serving import serve
from webapp.wsgi import WebServer

class Broken(WebServer):
    def run(self):
        raise RuntimeError("the loop broke")

def listen(application, settings, strict_port, on_refusal):
    return Broken(application, settings.host, 0)

data = DataDir.at(Path(sys.argv[1]))
sys.exit(serve(data, (), {}, strict_port=False, browser=False, detached=False, bind=listen))
"""


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_web_loop_that_breaks_is_a_failure_and_the_next_start_says_so(start: Hearths, tmp_path: Path) -> None:
    broken = run_script(BROKEN_LOOP, str(tmp_path))
    assert broken.returncode == 1
    assert READY in broken.stdout and "the loop broke" in broken.stderr
    page = httpx.get(f"http://127.0.0.1:{port_of(start('--port', '0'))}/about").text
    assert "Hearth ended unexpectedly" in page
    (report,) = (tmp_path / "logs").glob("crash-*.txt")
    assert "the loop broke" in report.read_text("utf-8")


# A signal comes after a moment; what the arguments name fails, or ends of its own accord.
ENDING = """
import sys, threading
from webapp.program.serving import SignalBell, run_until_signalled

stopped = threading.Event()

def fails(what):
    if what in sys.argv:
        raise RuntimeError(what)

class Web:
    def run(self):
        fails("run")
        "returns" in sys.argv or stopped.wait(20)
        fails("end")
    def stop(self, grace_seconds):
        stopped.set()

class House:
    def drain(self, grace_seconds):
        fails("drain")
    def close(self):
        fails("close")
        print("closed")

bell = SignalBell()
"signal" in sys.argv and threading.Timer(0.2, bell.ask_quit).start()
sys.exit(run_until_signalled(House(), Web(), bell))
"""


@pytest.mark.parametrize(
    ("happens", "status"),
    [("signal", 0), ("run", 1), ("returns", 1), ("signal end", 1), ("signal drain", 1), ("signal close", 1)],
)
def test_the_exit_status_says_whether_it_ended_as_wanted(happens: str, status: int) -> None:
    ended = run_script(ENDING, *happens.split())
    assert ended.returncode == status
    assert ("closed" in ended.stdout) == ("close" not in happens)


def test_the_data_folder_is_the_owners_alone(start: Hearths, tmp_path: Path) -> None:
    full_log = tmp_path / "logs" / "hearth.log"
    full_log.parent.mkdir(mode=0o700)
    full_log.touch(0o600)
    os.truncate(full_log, LOG_BYTES)
    process = start("--port", "0")
    begin_stream(port_of(process), max_tokens=2).read()  # is logged, and so the log is rotated
    assert eventually(lambda: full_log.stat().st_size < LOG_BYTES)
    folders = [tmp_path / "run", tmp_path / "logs"]
    assert folders and all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"hearth.db", "audit.db", "lock", "server.json", "hearth.log", "hearth.log.1"} <= {
        path.name for path in files
    }
    assert files and all(path.stat().st_mode & 0o777 == 0o600 for path in files), [oct(p.stat().st_mode) for p in files]


def test_a_taken_port(start: Hearths, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        strict = start("--port", str(port), "--strict-port")
        assert strict.wait(30) == PORT_TAKEN_STATUS == 98
        assert port_of(start("--port", str(port))) > port


def test_the_environment_sets_what_the_command_line_does_not(start: Hearths) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert port_of(start(HEARTH_PORT=str(port), HEARTH_STRICT_PORT="1")) == port


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data-dir", "/dev/null/x"), "cannot keep its files"),
        (("--host", "0.0.0.0"), "hearth key create"),
        (("--port", "many"), "port"),
        (("--port", "70000"), "port"),
    ],
)
def test_a_wrong_start_says_why(start: Hearths, arguments: tuple[str, ...], words: str) -> None:
    process = start(*arguments)
    assert process.wait(30) == 2
    assert process.stderr is not None
    assert words in process.stderr.read().lower()


def begin_stream(port: int, max_tokens: int) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"model": QWEN, "messages": [{"role": "user", "content": "Go"}], "max_tokens": max_tokens, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    while b'"content":"' not in response.readline():
        pass
    return response


def test_a_signal_lets_streams_finish(start: Hearths) -> None:
    process = start("--port", "0")
    response = begin_stream(port_of(process), max_tokens=400)
    process.send_signal(signal.SIGTERM)
    assert response.read().endswith(b"data: [DONE]\n\n")
    assert process.wait(15) == 0


def test_a_signal_lets_an_answer_on_a_page_finish(start: Hearths, tmp_path: Path) -> None:
    process = start("--port", "0", HEARTH_MAX_TOKENS="600")
    base_url = f"http://127.0.0.1:{port_of(process)}"
    with httpx.Client(base_url=base_url) as client:  # one, whose looks are quicker than the answer
        page = client.post("/chat", data={"chat": "chat-0001", "text": "Go", "model": QWEN})
        assert page.status_code == 303, page.text
        assert eventually(lambda: client.get("/api/pool").json()["running"] == 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    with closing(sqlite3.connect(tmp_path / "hearth.db")) as database:
        stored = database.execute("SELECT status, finish, completion_tokens FROM messages WHERE role = 'assistant'")
        assert stored.fetchall() == [("ok", "length", 600)]


def test_killed_without_warning_it_comes_back_as_it_was(start: Hearths) -> None:
    process = start("--port", "0")
    base_url = f"http://127.0.0.1:{port_of(process)}"
    saved = httpx.put(f"{base_url}/api/settings", json={"max_tokens": 77, "audit_days": 5, "theme": "dark"})
    asked = httpx.get(f"{base_url}/v1/models").headers["x-request-id"]
    logs = f"{base_url}/api/audit/logs?id={asked}"
    assert eventually(lambda: bool(httpx.get(logs).json()["logs"]))
    before = httpx.get(logs).json()["logs"]
    process.kill()
    process.wait(10)
    base_url = f"http://127.0.0.1:{port_of(start('--port', '0'))}"
    assert httpx.get(f"{base_url}/api/settings").json()["settings"] == saved.json()["settings"]
    assert httpx.get(f"{base_url}/api/audit/logs?id={asked}").json()["logs"] == before


def test_another_loopback_address_is_answered(start: Hearths) -> None:
    process = start("--host", "127.0.0.2", "--port", "0")
    assert process.stdout is not None
    url = process.stdout.readline().rpartition(" ")[2].strip()
    assert url.startswith("http://127.0.0.2:")
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.get(f"{url}/health", headers={"Host": "elsewhere.example"}).status_code == 403


def test_an_address_that_cannot_be_bound_is_named() -> None:
    with pytest.raises(HearthError, match=r"Cannot listen on 192\.0\.2\.1, port 8080: .+\."):
        listen(lambda environ, start_response: [], Settings(host="192.0.2.1", port=8080), strict_port=False)


def test_a_second_signal_ends_it_now(start: Hearths) -> None:
    process = start("--port", "0")
    response = begin_stream(port_of(process), max_tokens=100_000)
    # Not SIGINT: on Linux CPU, MLX compiles its first kernel through system(3), which ignores that one meanwhile.
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(8) == 128 + signal.SIGTERM
    response.close()


def test_quit_on_the_about_page_ends_it_like_a_signal(start: Hearths) -> None:
    process = start("--port", "0")
    port = port_of(process)
    response = begin_stream(port, max_tokens=400)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert "Hearth is stopping" in client.post("/about/quit").text
    assert response.read().endswith(b"data: [DONE]\n\n")
    assert process.wait(15) == 0


def test_a_restart_keeps_the_process_and_takes_what_was_saved(start: Hearths, tmp_path: Path) -> None:
    process = start("--port", "0")
    with httpx.Client(base_url=f"http://127.0.0.1:{port_of(process)}") as client:
        client.put("/api/settings", json={"threads": 200})
        assert "Web threads: acts when Hearth starts again." in client.get("/settings").text
        assert client.post("/settings/restart", headers={"HX-Request": "true"}).status_code == 200
    with httpx.Client(base_url=f"http://127.0.0.1:{port_of(process)}") as client:
        assert client.get("/api/settings").json()["settings"]["threads"]["value"] == 200
        assert "acts when Hearth starts again." not in client.get("/settings").text
    assert json.loads(hearth("status", "--json", "--data-dir", str(tmp_path)).stdout)["pid"] == process.pid


def test_every_setting_is_an_option(start: Hearths, tmp_path: Path) -> None:
    process = start("--port", "0", "--memory-limit", "0.5", "--pinned", f"{QWEN}, ember", "--eviction-policy", "lfu")
    settings = httpx.get(f"http://127.0.0.1:{port_of(process)}/api/settings").json()["settings"]
    assert settings["memory_limit"] | {"value": 0.5, "source": "command line"} == settings["memory_limit"]
    assert settings["pinned"]["value"] == [QWEN, "ember"]
    refused = hearth("serve", "--max-models", "many", "--data-dir", str(tmp_path / "other"))
    assert refused.returncode == 2
    assert "--max-models must be a whole number" in refused.stderr


def test_other_machines_need_a_key_and_this_one_manages_them(start: Hearths, tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path))
    made = hearth("key", "create", "laptop", "--scope", "admin", *folder)
    secret = made.stdout.strip()
    assert made.returncode == 0 and secret.startswith("hearth_") and "only now" in made.stderr
    process = start("--host", "0.0.0.0", "--port", "0")
    url = f"http://127.0.0.1:{port_of(process)}"
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.get(f"{url}/v1/models").status_code == 401
    assert httpx.get(f"{url}/v1/models", headers={"x-api-key": secret}).status_code == 200
    assert httpx.get(f"{url}/health", headers={"Host": "evil.example"}).status_code == 403
    assert httpx.get(f"{url}/health", headers={"Host": "192.0.2.7"}).status_code == 200
    assert json.loads(hearth("status", "--json", *folder).stdout)["url"] == url

    another = hearth("key", "create", "agent", "--expires", "3600", "--models", f"{QWEN}, ember", *folder)
    bearer = {"Authorization": f"Bearer {another.stdout.strip()}"}
    # Asked for with the new key, it would be twenty wrong ones before the server reads the keys again.
    assert eventually(lambda: "agent" in httpx.get(f"{url}/api/keys", headers={"x-api-key": secret}).text)
    assert httpx.get(f"{url}/v1/models", headers=bearer).status_code == 200
    listed = json.loads(hearth("key", "list", "--json", *folder).stdout)["keys"]
    assert [(key["name"], key["scope"], key["models"]) for key in listed] == [
        ("laptop", "admin", []),
        ("agent", "inference", [QWEN, "ember"]),
    ]
    assert hearth("key", "revoke", "agent", *folder).stdout == "'agent' is revoked.\n"
    assert eventually(lambda: httpx.get(f"{url}/v1/models", headers=bearer).status_code == 401)
    kept = httpx.get(f"{url}/api/audit/logs?kind=admin", headers={"x-api-key": secret}).json()["logs"]
    assert [(row["who"], row["endpoint"]) for row in kept] == [
        ("terminal", "keys.revoke"),
        ("terminal", "keys.create"),
        ("terminal", "keys.create"),
    ]
    assert hearth("stop", *folder).returncode == 0
    assert secret not in (tmp_path / "logs" / "hearth.log").read_text("utf-8")


def test_keys_on_the_command_line_say_what_is_wrong(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path))
    assert hearth("key", "list", *folder).stdout == "There are no keys.\n"
    for arguments, words in (
        (("create", "a b"), "'name' must be"),
        (("create", "a", "--expires", "tomorrow"), "'expires' must be like"),
        (("revoke", "a"), "There is no key 'a'."),
    ):
        refused = hearth("key", *arguments, *folder)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert words in refused.stderr


def test_the_small_commands(models_dir: Path, tmp_path: Path) -> None:
    assert hearth("version").stdout.startswith("hearth ")
    listed = json.loads(hearth("list", "--json", "--models-dir", str(models_dir), HF_HUB_CACHE=str(tmp_path)).stdout)
    assert QWEN in [model["id"] for model in listed["models"]]
    assert " MB  bundled" in hearth("list").stdout
    assert hearth("stop", "--data-dir", str(tmp_path)).stdout == "Hearth is not running.\n"
    assert hearth("bogus").returncode == 2
