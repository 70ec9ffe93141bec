"""The launcher: one server however many clicks, found by what it says of itself, and plain words when it cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.program.test_instance import says_it_is
from tests.wsgi.conftest import eventually
from webapp.paths import CannotUse, DataDir
from webapp.program.instance import Instance, Running
from webapp.program.launcher import ours
from webapp.wsgi import WebServer

PROGRAM = (sys.executable, "-m", "webapp")


def hearth(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    env = {**os.environ, "HEARTH_NO_BROWSER": "1", "HEARTH_PORT": "0", **environ}
    return subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    """A data folder whose server, if there is one, is stopped at the end."""
    data = DataDir.at(tmp_path / "data")
    yield data
    assert Instance(data.run).stop(20)


def browser_of(folder: Path) -> str:
    """One that only writes down in `folder` what it is to open."""
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {folder}/opened\n')
    browser.chmod(0o700)
    return str(browser)


def words(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_ten_launches_at_once_start_one_server(data: DataDir) -> None:
    clicks = [hearth("--data-dir", str(data.root)) for _ in range(10)]
    ends = [words(click) for click in clicks]
    running = Instance(data.run).running()
    assert running is not None
    assert ends == [(0, f"Hearth is at {running.url}\n", "")] * 10
    assert httpx.get(f"{running.url}/health").json()["instance"] == running.id
    # Its log knows of one start only, and it does not belong to any of those who asked for it.
    assert os.getsid(running.pid) == running.pid
    assert running.pid not in [click.pid for click in clicks]


def test_a_killed_server_is_replaced_and_its_end_is_told(data: DataDir) -> None:
    assert words(hearth("--data-dir", str(data.root)))[0] == 0
    first = Instance(data.run).running()
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    assert eventually(lambda: not Instance(data.run).held())
    assert words(hearth("--data-dir", str(data.root)))[0] == 0
    second = Instance(data.run).running()
    assert second is not None and second.id != first.id
    (report,) = data.logs.glob("crash-*.txt")
    assert f"process {first.pid}, ended without stopping" in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_reused_process_id_is_left_alone(data: DataDir) -> None:
    """The address of a dead server names a process that is somebody else's now; no lock, no signal."""
    bystander = subprocess.Popen(["sleep", "60"])
    stale = {"pid": bystander.pid, "host": "127.0.0.1", "port": 9, "id": "gone"}
    (data.run / "server.json").write_text(json.dumps(stale))
    assert ours(Instance(data.run)) is None
    assert words(hearth("stop", "--data-dir", str(data.root)))[1] == "Hearth is not running.\n"
    assert words(hearth("--data-dir", str(data.root)))[0] == 0
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_whatever_else_answers_there_is_not_it(tmp_path: Path) -> None:
    data = DataDir.at(tmp_path)
    holder = Instance(data.run)
    assert holder.acquire()
    stranger = WebServer(says_it_is("somebody else"), "127.0.0.1", 0)
    threading.Thread(target=stranger.run, daemon=True).start()
    holder.publish(*stranger.address, "abc")
    assert ours(Instance(data.run)) is None
    holder.publish(*stranger.address, "somebody else")
    assert ours(Instance(data.run)) is not None
    holder.release()
    stranger.stop(0)


def test_a_server_that_gives_up_is_quoted(data: DataDir) -> None:
    status, out, err = words(hearth("--data-dir", str(data.root), HEARTH_MAX_MODELS="many"))
    assert (status, out) == (1, "")
    assert "HEARTH_MAX_MODELS must be a whole number" in err


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = words(hearth("--data-dir", str(tmp_path / "file")))
    assert status == 1
    assert str(tmp_path / "file") in err and "--data-dir" in err
    with pytest.raises(CannotUse, match="cannot keep its files"):
        DataDir.at(tmp_path / "file")


def test_translocation_is_explained(data: DataDir, tmp_path: Path) -> None:
    program = tmp_path / "AppTranslocation" / "1-2" / "d" / "Hearth.app" / "Contents" / "MacOS" / "python"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).resolve())
    env = {**os.environ, "HEARTH_NO_BROWSER": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [program, "-m", "webapp", "--data-dir", str(data.root)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Applications folder" in done.stderr


def test_without_a_terminal_the_words_stand_on_a_page(tmp_path: Path) -> None:
    pages, opened, browser = tmp_path / "pages", tmp_path / "opened", browser_of(tmp_path)
    pages.mkdir()
    (tmp_path / "<file>").write_text("")
    environ = {"HEARTH_NO_BROWSER": "", "BROWSER": browser, "TMPDIR": str(pages)}
    assert words(hearth("--data-dir", str(tmp_path / "<file>"), **environ))[0] == 1
    (page,) = pages.iterdir()
    assert opened.read_text() == f"{page.as_uri()}\n"
    assert "&lt;file&gt;" in page.read_text()


def test_an_open_hearth_is_found_fast(data: DataDir) -> None:
    assert words(hearth("--data-dir", str(data.root)))[0] == 0
    began = time.monotonic()
    assert words(hearth("--data-dir", str(data.root)))[0] == 0
    assert time.monotonic() - began < 3  # 0.2 s when nothing else runs


def test_proxies_are_not_asked_for_this_machine(data: DataDir) -> None:
    proxy: dict[str, Any] = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    assert words(hearth("--data-dir", str(data.root), **proxy))[0] == 0


def test_an_address_without_an_id_is_nobodys() -> None:
    assert Running(1, "127.0.0.1", 80).id == ""


def test_with_sign_in_on_the_owner_s_programs_get_in(data: DataDir, tmp_path: Path) -> None:
    """The browser is handed a file; no ticket stands where others could read it."""
    options = ("--data-dir", str(data.root))
    assert words(hearth(*options, HEARTH_SIGN_IN="on", HEARTH_NO_BROWSER="", BROWSER=browser_of(tmp_path)))[0] == 0
    file = data.run / "open.html"
    assert (tmp_path / "opened").read_text() == f"{file.as_uri()}\n"
    url = json.loads(words(hearth("status", "--json", *options))[1])["url"]
    assert httpx.get(f"{url}/chat").status_code == 401
    link = words(hearth("sign-in", *options))[1].strip()
    assert link.startswith(f"{url}/sign-in?ticket=") and link not in file.read_text()
    with httpx.Client() as client:
        assert client.get(link).status_code == 200
        assert client.get(f"{url}/chat").status_code == 200
    assert link.rpartition("=")[2] not in (data.logs / "hearth.log").read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_somebody_else_cannot_read_the_data_folder() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        data = DataDir.at(Path(folder) / "data")
        assert words(hearth("--data-dir", str(data.root)))[0] == 0
        files = [path for path in data.root.rglob("*") if path.is_file()]
        assert {"hearth.db", "audit.db", "server.json", "hearth.log"} <= {path.name for path in files}
        for command in (["ls", str(data.root)], *(["cat", str(path)] for path in files)):
            assert subprocess.run(command, user=65_534, group=65_534, capture_output=True, check=False).returncode != 0
        assert Instance(data.run).stop(20)
