"""The files that start Hearth at login, as the systems' own tools read them, and the commands that go with them."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from webapp.program import login_start
from webapp.program.login_start import (
    agent,
    escaped,
    install_agent,
    install_unit,
    uninstall_agent,
    uninstall_unit,
    unit,
)
from webapp.program.serving import ALREADY_RUNNING_STATUS, CANNOT_START_STATUS, CRASHED_STATUS, PORT_TAKEN_STATUS

COMMAND = ["/Applications/Hearth.app/Contents/MacOS/hearth", "serve", "--no-browser", "--detached"]
Recorded = Callable[[], list[str]]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """launchctl and systemctl that write down what they are asked; a home of one's own."""
    folder, said = tmp_path / "bin", tmp_path / "said"
    folder.mkdir()
    for name in ("launchctl", "systemctl"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {said}\n')
        (folder / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return lambda: said.read_text().splitlines() if said.exists() else []


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    program = tmp_path / "a folder" / "hearth"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    file = tmp_path / "hearth.service"
    file.write_text(unit([str(program), "serve", "--data-dir", "/home/x/50% of $HOME"]))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(file)], capture_output=True, text=True, check=False
    )
    assert "hearth.service" not in found.stderr, found.stderr


@pytest.mark.parametrize(
    ("part", "written"),
    [("serve", "serve"), ("/a b", '"/a b"'), ("100%", "100%%"), ('say "x"', '"say \\"x\\""'), ("$HOME", '"$$HOME"')],
)
def test_what_systemd_would_read_otherwise(part: str, written: str) -> None:
    assert escaped(part) == written


def test_systemd_starts_it_again_after_a_crash_and_not_where_that_changes_nothing() -> None:
    (line,) = (line for line in unit(COMMAND).splitlines() if line.startswith("RestartPreventExitStatus="))
    prevented = {int(status) for status in line.partition("=")[2].split()}
    assert prevented == {CANNOT_START_STATUS, ALREADY_RUNNING_STATUS, PORT_TAKEN_STATUS}
    assert CRASHED_STATUS not in prevented


def test_the_agent_starts_at_login_and_again_after_a_crash(tmp_path: Path) -> None:
    read = plistlib.loads(plistlib.dumps(agent(COMMAND, tmp_path)))
    assert read["ProgramArguments"] == COMMAND
    assert (read["RunAtLoad"], read["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert read["SoftResourceLimits"] == {"NumberOfFiles": 4096}


def test_a_unit_comes_and_goes(tools: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / ".config" / "systemd" / "user" / "hearth.service"
    assert install_unit(COMMAND) == 0
    assert "ExecStart=/Applications/Hearth.app/Contents/MacOS/hearth serve" in file.read_text()
    assert install_unit(COMMAND) == 0  # again is no harm
    assert uninstall_unit() == 0
    assert not file.exists()
    assert uninstall_unit() == 0
    assert tools()[:2] == ["systemctl --user daemon-reload", "systemctl --user enable --now hearth.service"]
    assert "starts at every login" in capsys.readouterr().out


def test_an_agent_comes_and_goes(tools: Recorded, tmp_path: Path) -> None:
    file = tmp_path / "Library" / "LaunchAgents" / "org.hearth.app.plist"
    assert install_agent(COMMAND, tmp_path) == 0
    assert plistlib.loads(file.read_bytes())["Label"] == "org.hearth.app"
    assert uninstall_agent() == 0
    assert not file.exists()
    assert [line.split()[1] for line in tools()] == ["bootout", "bootstrap", "bootout"]


def test_without_the_system_s_tool_it_says_so(tools: Recorded, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert install_unit(COMMAND) == 1
    assert "acts at the next login" in capsys.readouterr().err
    assert login_start.unit_file().exists()
