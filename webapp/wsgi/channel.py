"""One connection: waitress' channel, which also reports that its client left, and limits every wait.

Its methods run on the select loop's thread, except `service` and `write_soon`, which a worker calls, and
`on_disconnect`, which any thread may call.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, Error

from webapp.dialects import Refusal
from webapp.wsgi.connection_limits import Tuning
from webapp.wsgi.parser import Parser, RequestTimeout, ServiceUnavailable, TooManyRequests
from webapp.wsgi.refusals import OnRefusal, answer, generates, new_request_id
from webapp.wsgi.websockets import HandoverSocket, WebSockets

log = logging.getLogger(__name__)

_ERROR_CODES = {
    400: "bad_request",
    408: "request_timeout",
    413: "request_too_large",
    429: "queue_full",
    431: "request_headers_too_large",
    500: "internal_error",
    501: "not_implemented",
    503: "too_many_websockets",
    505: "http_version_not_supported",
}
_INTERNAL_ERROR = "The server failed at this request; its log says why."


class Home(Protocol):
    """The part of the server that its connections use."""

    websockets: WebSockets
    generating_places: threading.BoundedSemaphore
    on_refusal: OnRefusal

    def add_task(self, channel: Channel) -> None:
        """Have a worker serve the channel's first request."""


class StreamTask(WSGITask):
    """Offers `environ["hearth.on_disconnect"](callback)` for the length of one request."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ["SERVER_SOFTWARE"] = "hearth"
        environ["hearth.on_disconnect"] = self.channel.on_disconnect
        return environ

    def execute(self) -> None:
        try:
            super().execute()
        finally:
            self.channel.forget_callbacks()


class RefusalTask(ErrorTask):
    """Writes waitress' own errors (a broken request, an application that raised) in the form of all refusals."""

    def execute(self) -> None:
        refusal, request_id = as_refusal(self.request.error), new_request_id()
        log.info("%s: %s", request_id, refusal.status_line)
        if refusal.status != 500:  # the application has recorded its own failure
            self.channel.server.on_refusal(self.channel.requested_path, request_id, refusal)
        self.status = refusal.status_line
        headers, body = answer(refusal, self.channel.requested_path, request_id)
        self.response_headers.extend(headers)
        self.content_length = len(body)
        self.set_close_on_finish()
        self.channel.lingers = True
        self.write(body)


def as_refusal(error: Error) -> Refusal:
    message = _INTERNAL_ERROR if error.code == 500 else f"The request was refused: {error.body}"
    return Refusal(error.code, _ERROR_CODES[error.code], message)


class Channel(HTTPChannel):
    task_class = StreamTask
    error_task_class = RefusalTask
    parser_class = Parser

    server: Home
    adj: Tuning
    socket: socket.socket
    requests: list[Parser]
    request: Parser | None
    will_close: bool
    close_when_flushed: bool

    handover: HandoverSocket | None = None
    wants_upgrade = False
    lingers = False
    _linger_until: float | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        self._callbacks: list[Callable[[], None]] = []
        self._last_drained = time.time()
        super().__init__(*args, **kwargs)

    @property
    def requested_path(self) -> str:
        return self.requests[0].requested_path if self.requests else ""

    def service(self) -> None:
        """Serve the first request. One that generates gets 429 if only reserved threads are left."""
        request, places = self.requests[0], self.server.generating_places
        if request.error is not None or not generates(request.command, request.path):
            super().service()
        elif places.acquire(blocking=False):
            try:
                super().service()
            finally:
                places.release()
        else:
            request.error = TooManyRequests("as many answers are being written or waited for as there is room for.")
            super().service()

    # A client that leaves

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Run `callback` once, from the select loop, when the client leaves; at once if it is gone already."""
        self._callbacks.append(callback)
        if not self.connected:
            self._run_callbacks()

    def forget_callbacks(self) -> None:
        self._callbacks = []

    def handle_close(self) -> None:
        if self.handover is not None:
            return  # poll() reported POLLIN and POLLHUP at once: the descriptor is the WebSocket's by now
        super().handle_close()
        self._run_callbacks()

    def _run_callbacks(self) -> None:
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.pop()
            except IndexError:
                return  # the other thread took the last one
            callback()

    # A connection that takes too long

    def check_time(self, now: float, idle_seconds: float) -> None:
        """Close the connection if it takes too long. The select loop calls this once a second."""
        if not self.total_outbufs_len:
            self._last_drained = now
        if self._linger_until is not None:
            self.will_close = now > self._linger_until
        elif self.total_outbufs_len:
            if now - max(self._last_drained, self.last_activity) > self.adj.limits.send_seconds:
                self.abort()
        elif self.requests:
            pass  # the application takes the time it needs
        elif self.request is not None:
            if self.request.is_overdue(now):
                self._refuse_slow_request()
        elif now - self.last_activity > idle_seconds:
            self.will_close = True

    def close_if_idle(self) -> None:
        if not self.requests and not self.total_outbufs_len:
            self.will_close = True

    def abort(self) -> None:
        """Make poll() report a hang-up: the loop then closes in the usual way, also under a blocked writer."""
        self.will_close = True
        with contextlib.suppress(OSError):  # not connected any more
            self.socket.shutdown(socket.SHUT_RDWR)

    def _refuse_slow_request(self) -> None:
        with self.requests_lock:
            request, self.request = self.request, None
            if request is not None:
                request.error = RequestTimeout("it took too long to arrive.")
                self.requests.append(request)
                self.server.add_task(self)

    # After a refusal the client may still be sending: closing at once would reset the connection
    # and take the answer with it. So say that no more comes, and read into the void for a while.

    def readable(self) -> bool:
        return self._linger_until is not None or super().readable()

    def handle_read(self) -> None:
        if self._linger_until is None:
            super().handle_read()
        else:
            self.recv(self.adj.recv_bytes)

    def handle_write(self) -> None:
        if self.will_close or not (self.lingers and self.close_when_flushed):
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.connected and not self.total_outbufs_len:
            self.close_when_flushed = False
            self._linger_until = time.time() + self.adj.limits.linger_seconds
            self.socket.shutdown(socket.SHUT_WR)

    # A WebSocket

    def received(self, data: bytes) -> bool:
        result: bool = super().received(data)  # may set wants_upgrade through server.add_task()
        if self.wants_upgrade:
            self.wants_upgrade = False
            self._hand_over()
        return result

    def write_soon(self, data: bytes) -> int:
        if self.handover is None:
            return int(super().write_soon(data))
        self.handover.send_all(data)
        return len(data)

    def _hand_over(self) -> None:
        """Leave the select loop: waitress forgets the connection, the descriptor stays open."""
        request = self.requests[0]
        request.error = self._upgrade_error(request)
        if request.error is not None:
            self.server.add_task(self)
            return
        self.del_channel()
        self.handover = HandoverSocket(self.socket, self.adj.limits.websocket_send_seconds)
        self.server.websockets.start(self, request, self.handover)

    def _upgrade_error(self, request: Parser) -> Error | None:
        if self.request is not None or len(self.requests) > 1:
            return BadRequest("data came before the WebSocket handshake was finished.")
        if request.headers.get("SEC_WEBSOCKET_VERSION") != "13" or "SEC_WEBSOCKET_KEY" not in request.headers:
            return BadRequest("this is not a handshake of WebSocket version 13.")
        if not self.server.websockets.has_room:
            return ServiceUnavailable("too many WebSockets are open.")
        return None
