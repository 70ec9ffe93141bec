"""One server process from bind to exit: lock, port, ready line, browser, signals, orderly stop."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from webapp.app import create_app
from webapp.errors import HearthError
from webapp.paths import PACKAGED, DataDir
from webapp.program import crash
from webapp.program.accounts import others
from webapp.program.instance import Instance, Running
from webapp.program.launcher import open_page
from webapp.server import Options, Server
from webapp.settings.table import Settings
from webapp.wsgi import WebServer
from webapp.wsgi.guards import Guards
from webapp.wsgi.refusals import OnRefusal, tell_nobody

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
# Exit statuses. A service manager starts Hearth again after a crash; the others stay as they are (login_start.py).
CRASHED_STATUS = 1
CANNOT_START_STATUS = 2
ALREADY_RUNNING_STATUS = 97
PORT_TAKEN_STATUS = 98
PORTS_TRIED = 50
LOG_BYTES = 10_000_000
# Each busy Python thread costs the engine one interval per step; the default of 5 ms is a whole step.
SWITCH_INTERVAL_SECONDS = 0.0005

Bind = Callable[["WSGIApplication", Settings, bool, OnRefusal], WebServer]


def serve(
    data: DataDir,
    models_dirs: tuple[Path, ...],
    overrides: Mapping[str, object],
    *,
    strict_port: bool,
    browser: bool,
    detached: bool,
    bind: Bind,
) -> int:
    """Serve until a signal; returns the exit status only if it cannot start. `detached`: log to the file alone."""
    os.umask(0o077)  # every file from here on, rotated logs and journals too, is for the owner alone
    instance = Instance(data.run)
    if not instance.acquire():
        running = instance.running()
        print(f"Hearth is already running{f' at {running.url}' if running else ''}.", file=sys.stderr)
        return ALREADY_RUNNING_STATUS
    report = crash.report(data.logs, instance.left_behind) if instance.left_behind else None
    log_whatever_fails(data)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        server = Server(Options(models_dirs, overrides, dict(os.environ)), data)
        settings, on_refusal = server.settings.current, server.audit.refused
        server.administration.keys.check_host(settings.host)
        application = Guards(create_app(server), server.admitted, on_refusal)
        web = bind(application, settings, strict_port, on_refusal)
    except HearthError as error:
        print(error, file=sys.stderr)
        return CANNOT_START_STATUS
    except PortTaken as error:
        print(error, file=sys.stderr)
        return PORT_TAKEN_STATUS
    bell = SignalBell()
    server.restart, server.quit = bell.ask_restart, bell.ask_quit
    tell_of_the_start(server, report)
    server.start()
    host, port = web.address
    instance.publish(host, port, server.id)
    running = Running(os.getpid(), host, port, server.id)
    print(f"Hearth is ready at {running.url}", flush=True)
    if detached:
        fall_silent()
    if browser:
        threading.Thread(target=open_page, args=(data, running), daemon=True).start()
    status = run_until_signalled(server, web, bell)
    if status == 0:
        instance.release()  # otherwise the next start reports a crash
    leave(status, again=bell.restart_asked)


def tell_of_the_start(server: Server, report: Path | None) -> None:
    """Add notices for the pages: of a crash, and at the first start of other people on this computer."""
    if report:
        log.warning("Hearth ended without stopping; what is known stands in %s", report)
        server.notices.add(f"Hearth ended unexpectedly. What is known of it stands in {report}.")
    if server.first_start and server.settings.current.sign_in == "off" and (people := others()):
        names = ", ".join([*people[:3], "…"] if people[3:] else people)
        server.notices.add(
            f"Others have accounts on this computer ({names}) and could open these pages. "
            "Settings, “Sign-in on this computer”, keeps them yours."
        )


class PortTaken(Exception):
    """Raised when another program listens on the port."""


def listen(
    application: WSGIApplication, settings: Settings, strict_port: bool, on_refusal: OnRefusal = tell_nobody
) -> WebServer:
    """Bind the configured port, or the next free one. Raises PortTaken; HearthError when the address is at fault."""
    tried = range(settings.port, min(settings.port + (1 if strict_port else PORTS_TRIED), 65_536))
    for port in tried:
        try:
            return WebServer(application, settings.host, port, max_threads=settings.threads, on_refusal=on_refusal)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise HearthError(f"Cannot listen on {settings.host}, port {port}: {error.strerror}.") from error
    raise PortTaken(f"Port {settings.port} is taken{'' if strict_port else f', and so are all up to {tried[-1]}'}.")


def run_until_signalled(server: Server, web: WebServer, bell: SignalBell) -> int:
    """Serve until a signal, then drain, stop and close; a second signal ends the process at once.

    Returns the exit status: CRASHED_STATUS if the web loop ended without a signal, or if anything failed.
    """
    bell.ring_after(web.run, "web")
    wanted = bell.wait() != 0
    if wanted:
        log.info("stopping")
        # An answer on a page has no open response: the web may end long before the last answer does.
        bell.ring_after(partial(server.drain, GRACE_SECONDS), "drain")
        web.stop(GRACE_SECONDS + 2)
        bell.wait_or_end()
        bell.wait_or_end()
    else:
        log.critical("the web loop ended without being asked to")
    bell.ring_after(server.close, "close")
    bell.wait_or_end()
    return 0 if wanted and not bell.failed else CRASHED_STATUS


class SignalBell:
    """Receives SIGTERM and SIGINT as bytes on a socket.

    The kernel may hand a signal to any thread, and a Python handler then waits until the main thread
    leaves its system call; the byte arrives at once.
    """

    def __init__(self) -> None:
        self._ear, self._clapper = socket.socketpair()
        self._clapper.setblocking(False)
        self.restart_asked = False
        self.failed = False  # true once work of `ring_after` has failed
        signal.set_wakeup_fd(self._clapper.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)

    def ask_quit(self) -> None:
        """End the server as a signal would."""
        os.kill(os.getpid(), signal.SIGTERM)

    def ask_restart(self) -> None:
        """End the server as a signal would, then start it anew."""
        self.restart_asked = True
        self.ask_quit()

    def wait(self) -> int:
        """Wait for the next signal and return its number, or 0 if work of `ring_after` ended."""
        return self._ear.recv(1)[0]

    def wait_or_end(self) -> None:
        """Wait for the work of `ring_after`; a signal ends the process at once."""
        if number := self.wait():
            os._exit(128 + number)

    def ring_after(self, work: Callable[[], None], name: str) -> None:
        """Do the work on a thread of this name, and ring when it is over, however it ends."""
        threading.Thread(target=self._ring_after, args=(work,), name=name, daemon=True).start()

    def _ring_after(self, work: Callable[[], None]) -> None:
        done = False
        try:
            work()
            done = True
        finally:
            if not done:
                self.failed = True
            self._clapper.send(b"\0")


def log_whatever_fails(data: DataDir) -> None:
    """Log every uncaught exception from now on, and write faults that Python cannot catch to fault.log."""
    crash.watch(data.logs)
    write_logs(data)
    sys.excepthook = log_failure
    threading.excepthook = log_thread_failure


def write_logs(data: DataDir) -> None:
    """Log to standard error and to a rotating file. Nobody may log prompts or keys."""
    file = RotatingFileHandler(data.logs / "hearth.log", maxBytes=LOG_BYTES, backupCount=4, encoding="utf-8")
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, handlers=[logging.StreamHandler(sys.stderr), file])


def fall_silent() -> None:
    """Stop writing to standard output and error, as start.log would grow for ever; the log file goes on."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, RotatingFileHandler):
            logging.getLogger().removeHandler(handler)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def log_failure(kind: type[BaseException], failure: BaseException, where: TracebackType | None) -> None:
    log.critical("Hearth ends", exc_info=(kind, failure, where))


def log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """Log the exception that ended a thread, as there may be no terminal to print it on."""
    cause = failure.exc_value or failure.exc_type()
    log.error("thread %s died", failure.thread.name if failure.thread else "?", exc_info=cause)


def leave(status: int, again: bool = False) -> NoReturn:
    """End the process or replace it by a new one, without the interpreter's exit, which MLX's threads would abort.

    Seen with mlx 0.32. The page that requested the restart is still open, so the new process opens none.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if again:
        arguments = sys.argv[1:] if PACKAGED else sys.orig_argv[1:]
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, "HEARTH_NO_BROWSER": "1"})
    os._exit(status)
