"""`hearth service`: start at login without a window, and again after a crash: a launchd agent or a systemd unit."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from webapp.program.launcher import MOVE_IT, TRANSLOCATED

LABEL = "org.hearth.app"
UNIT = "hearth.service"
RESTART_SECONDS = 10
STOP_SECONDS = 20


def install(command: Sequence[str], logs: Path) -> int:
    """Write the file of this system and start Hearth by it; prints the result and returns the exit status."""
    if TRANSLOCATED in sys.executable:
        print(MOVE_IT, file=sys.stderr)
        return 1
    return install_agent(command, logs) if sys.platform == "darwin" else install_unit(command)


def uninstall() -> int:
    return uninstall_agent() if sys.platform == "darwin" else uninstall_unit()


def install_agent(command: Sequence[str], logs: Path) -> int:
    file = agent_file()
    write(file, plistlib.dumps(agent(command, logs)))
    control("launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}")  # an older one, if any
    return started(file, control("launchctl", "bootstrap", f"gui/{os.getuid()}", str(file)))


def uninstall_agent() -> int:
    control("launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}")
    return removed(agent_file())


def install_unit(command: Sequence[str]) -> int:
    file = unit_file()
    write(file, unit(command).encode())
    problem = control("systemctl", "--user", "daemon-reload")
    return started(file, problem or control("systemctl", "--user", "enable", "--now", UNIT))


def uninstall_unit() -> int:
    control("systemctl", "--user", "disable", "--now", UNIT)
    status = removed(unit_file())
    control("systemctl", "--user", "daemon-reload")
    return status


def agent_file() -> Path:
    return Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"


def unit_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "systemd" / "user" / UNIT


def agent(command: Sequence[str], logs: Path) -> dict[str, object]:
    """The launchd agent. It restarts Hearth after a failure, not after a stop; `Background` would slow Hearth down."""
    return {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": RESTART_SECONDS,
        "ExitTimeOut": STOP_SECONDS,
        "ProcessType": "Interactive",
        "SoftResourceLimits": {"NumberOfFiles": 4096},
        "StandardErrorPath": str(logs / "start.log"),
    }


def unit(command: Sequence[str]) -> str:
    return f"""\
[Unit]
Description=Hearth, a local LLM server

[Service]
ExecStart={" ".join(escaped(part) for part in command)}
Restart=on-failure
RestartSec={RESTART_SECONDS}
# Its options are wrong, it is already running, or its port is taken: trying again changes nothing.
RestartPreventExitStatus=2 97 98
TimeoutStopSec={STOP_SECONDS}
LimitNOFILE=4096:524288
NoNewPrivileges=true

[Install]
WantedBy=default.target
"""


def escaped(part: str) -> str:
    """Escapes an argument for ExecStart: systemd expands % and $, and has quoting rules of its own."""
    plain = part.replace("%", "%%").replace("$", "$$")
    return plain if shlex.quote(part) == part else '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def control(*command: str) -> str:
    """Run a tool of the system; returns its error message, or empty text on success."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not here"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip() or f"status {done.returncode}"


def write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o600)


def started(file: Path, problem: str) -> int:
    if problem:
        print(f"{file} is written and acts at the next login, but did not start now: {problem}.", file=sys.stderr)
        return 1
    print(f"Hearth runs and starts at every login ({file}).")
    return 0


def removed(file: Path) -> int:
    if not file.exists():
        print("Hearth does not start at login.")
        return 0
    file.unlink()
    print("Hearth no longer starts at login.")
    return 0
