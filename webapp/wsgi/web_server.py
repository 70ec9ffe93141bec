"""The server itself: one listening socket, one select loop, a crowd of worker threads, a graceful end."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.server import TcpWSGIServer
from waitress.utilities import BadRequest

from webapp.wsgi.channel import Channel
from webapp.wsgi.connection_limits import ConnectionLimits, Tuning
from webapp.wsgi.refusals import OnRefusal, tell_nobody
from webapp.wsgi.websockets import WebSockets
from webapp.wsgi.workers import Workers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_TURN_SECONDS = 0.05  # while draining
_GOODBYE_SECONDS = 1.0  # for browsers to answer a Close frame
_DESCRIPTORS_TO_SPARE = 256


class WebServer:
    """Serves `application` on one port. The constructor binds it, and raises OSError when the port is taken.

    Of its threads, `reserved_threads` never serve requests that generate. Requests beyond the others get 429.
    """

    def __init__(
        self,
        application: WSGIApplication,
        host: str,
        port: int,
        *,
        min_threads: int = 8,
        max_threads: int = 1024,
        reserved_threads: int = 64,
        max_websockets: int = 256,
        limits: ConnectionLimits | None = None,
        on_refusal: OnRefusal = tell_nobody,
    ):
        limits = limits or ConnectionLimits()
        _allow_open_files(limits.connections + 2 * max_websockets + _DESCRIPTORS_TO_SPARE)
        self._workers = Workers(min_threads, max_threads, limits.thread_idle_seconds)
        self._websockets = WebSockets(max_websockets, limits.websocket_close_seconds)
        places = threading.BoundedSemaphore(max_threads - reserved_threads)
        tuning = Tuning(host, port, limits)
        self._listener = Listener(application, tuning, self._workers, self._websockets, places, on_refusal)
        self._deadline: float | None = None

    @property
    def address(self) -> tuple[str, int]:
        return self._listener.effective_host, int(self._listener.effective_port)

    @property
    def threads(self) -> int:
        return self._workers.count

    @property
    def websockets(self) -> int:
        return len(self._websockets)

    def run(self) -> None:
        """Serve until `stop`, then drain. The calling thread is the select loop."""
        self._listener.loop_thread = threading.get_ident()
        try:
            while self._deadline is None:
                self._listener.turn(self._listener.adj.asyncore_loop_timeout)
            self._drain()
        finally:
            self._workers.shutdown(timeout_seconds=1)
            self._listener.close()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Make `run` end, and return at once. A second call can only shorten the grace time."""
        deadline = time.monotonic() + grace_seconds
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        self._listener.pull_trigger()

    def _drain(self) -> None:
        self._listener.stop_accepting()
        self._websockets.say_goodbye()
        self._turn_until(time.monotonic() + _GOODBYE_SECONDS, lambda: not self._websockets)
        self._websockets.abort()
        while not self._is_quiet() and time.monotonic() < (self._deadline or 0):
            self._listener.turn(_TURN_SECONDS)
        self._listener.abort_all()
        self._turn_until(time.monotonic() + _TURN_SECONDS, self._is_quiet)

    def _turn_until(self, deadline: float, done: Callable[[], bool]) -> None:
        while not done() and time.monotonic() < deadline:
            self._listener.turn(_TURN_SECONDS)

    def _is_quiet(self) -> bool:
        self._listener.close_idle()
        return not self._listener.active_channels and not self._websockets


class Listener(TcpWSGIServer):
    channel_class = Channel

    adj: Tuning
    active_channels: dict[int, Channel]

    def __init__(
        self,
        application: WSGIApplication,
        tuning: Tuning,
        workers: Workers,
        websockets: WebSockets,
        generating_places: threading.BoundedSemaphore,
        on_refusal: OnRefusal,
    ):
        self.websockets = websockets
        self.generating_places = generating_places
        self.on_refusal = on_refusal
        self.loop_thread: int | None = None
        self._trigger_lock = threading.RLock()  # a signal may come while its own thread holds it
        self._closed = False
        sockets: dict[int, Any] = {}
        try:
            super().__init__(application, map=sockets, dispatcher=workers, adj=tuning)
        except OSError:
            wasyncore.close_all(sockets)
            raise

    def turn(self, timeout_seconds: float) -> None:
        wasyncore.loop(timeout_seconds, self.adj.asyncore_use_poll, self._map, count=1)

    def add_task(self, channel: Channel) -> None:
        request = channel.requests[0]
        if request.error is None and _is_upgrade(request.headers):
            if threading.get_ident() == self.loop_thread:
                channel.wants_upgrade = True  # Channel.received() goes on once parsing is over
                return
            request.error = BadRequest("a WebSocket handshake must be alone on its connection.")
        super().add_task(channel)

    def maintenance(self, now: float) -> None:
        limits = self.adj.limits
        idle_seconds = limits.crowded_idle_seconds if self.in_connection_overflow else limits.idle_seconds
        for channel in list(self.active_channels.values()):
            channel.check_time(now, idle_seconds)

    def pull_trigger(self) -> None:
        with self._trigger_lock:  # never write to a descriptor that another file may have by now
            if not self._closed:
                super().pull_trigger()

    def stop_accepting(self) -> None:
        self.accepting = False
        self.del_channel()
        self.socket.close()

    def close_idle(self) -> None:
        for channel in list(self.active_channels.values()):
            channel.close_if_idle()

    def abort_all(self) -> None:
        for channel in list(self.active_channels.values()):
            channel.abort()

    def close(self) -> None:
        with self._trigger_lock:
            self._closed = True
            super().close()
        wasyncore.close_all(self._map)


def _is_upgrade(headers: dict[str, str]) -> bool:
    return "websocket" in headers.get("UPGRADE", "").lower() and "upgrade" in headers.get("CONNECTION", "").lower()


def _allow_open_files(wanted: int) -> None:
    """Raise the limit of open files: programs started from a desktop may open only 256, which is too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
