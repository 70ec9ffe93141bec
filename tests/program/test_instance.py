"""The lock of a data folder, seen from its server and from those who look for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webapp.program.command import is_on, parser
from webapp.program.instance import Instance, Running
from webapp.wsgi import WebServer


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Instance]:
    """A server that holds the lock and does not answer yet."""
    (tmp_path / "run").mkdir()
    instance = Instance(tmp_path / "run")
    assert instance.acquire()
    yield instance
    instance.release()


def test_one_that_is_starting_is_held_and_not_yet_running(starting: Instance, tmp_path: Path) -> None:
    other = Instance(tmp_path / "run")
    assert (other.held(), other.running()) == (True, None)
    threading.Timer(0.3, starting.publish, ("127.0.0.1", 4711)).start()
    assert other.running(5) == Running(os.getpid(), "127.0.0.1", 4711)
    starting.release()
    assert (other.held(), other.running(5)) == (False, None)


def test_hearth_alone_opens_the_browser_on_a_server_that_is_starting(starting: Instance, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    web = WebServer(says_it_is("abc"), "127.0.0.1", 0)
    threading.Thread(target=web.run, daemon=True).start()
    door = hearth("--data-dir", str(tmp_path), BROWSER=str(browser))
    time.sleep(0.5)
    starting.publish(*web.address, "abc")
    assert door.wait(20) == 0
    assert (tmp_path / "opened").read_text() == f"http://127.0.0.1:{web.address[1]}\n"
    web.stop(0)


def says_it_is(id: str) -> Any:
    def answer(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"status": "healthy", "instance": id}).encode()]

    return answer


def test_stop_waits_for_a_server_that_is_starting(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    program = (
        "import pathlib, sys, time; from webapp.program.instance import Instance;"
        "one = Instance(pathlib.Path(sys.argv[1])); one.acquire(); print('held', flush=True);"
        "time.sleep(0.5); one.publish('127.0.0.1', 4711); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "held\n"
        stop = hearth("stop", "--data-dir", str(tmp_path))
        assert stop.communicate(timeout=20)[0] == "Hearth has stopped.\n"
        assert server.wait(5) == -15


def hearth(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "webapp", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ})


@pytest.mark.parametrize(
    ("said", "on"), [("1", True), ("yes", True), *((off, False) for off in ("", "0", "False", "no", " OFF "))]
)
def test_a_switch_of_the_environment(monkeypatch: pytest.MonkeyPatch, said: str, on: bool) -> None:
    monkeypatch.setenv("HEARTH_NO_BROWSER", said)
    assert is_on("HEARTH_NO_BROWSER") is on


@pytest.mark.parametrize(
    "line",
    ["stop --json", "stop --models-dir x", "status --models-dir x", "list --data-dir x", "version --data-dir x",
     "version --models-dir x", "bench --models-dir x"],
)  # fmt: skip
def test_an_option_that_would_be_ignored_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parser().parse_args(line.split())
    assert left.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err
