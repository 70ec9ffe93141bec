"""WebSockets: connections that left the select loop and live in a thread of their own.

Unmodified flask-sock finds the socket in `environ["werkzeug.socket"]`, as under Werkzeug's server. Whether a
route wants it decides the application; if nobody writes the handshake, its ordinary answer is sent.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from typing import Any, Protocol

from simple_websocket import ConnectionClosed
from waitress.task import WSGITask

from webapp.wsgi.parser import Parser

log = logging.getLogger(__name__)

_CLOSE = b"\x88"
_GOING_AWAY = b"\x88\x02\x03\xe9"  # a Close frame with status 1001
_ABNORMAL_CLOSURE = 1006


class PeerGone(ConnectionClosed, OSError):
    """An OSError for simple_websocket's reader thread, a ConnectionClosed for flask-sock: both end quietly."""

    def __init__(self, message: str):
        ConnectionClosed.__init__(self, _ABNORMAL_CLOSURE, message)


class HandoverSocket:
    """The blocking socket that simple_websocket gets.

    It calls `send` from two threads and trusts it to send everything: here it does, under a lock, and gives up
    on a peer that stopped reading.
    """

    def __init__(self, sock: socket.socket, send_seconds: float):
        sock.setblocking(True)
        whole, fraction = divmod(send_seconds, 1)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(whole), int(fraction * 1_000_000))
        )
        self._sock = sock
        self._lock = threading.Lock()
        self._said_goodbye = False
        self.taken = False  # the application wrote to it: the WSGI response is nobody's any more
        self.closed = threading.Event()

    def fileno(self) -> int:
        return self._sock.fileno()

    def recv(self, size: int) -> bytes:
        return self._sock.recv(size)

    def send(self, frame: bytes) -> int:
        self.taken = True
        try:
            with self._lock:
                if not self._said_goodbye:  # a frame after Close would be a protocol error
                    self.send_all(frame)
                    self._said_goodbye = frame[:1] == _CLOSE
        except OSError as error:
            self.abort()
            raise PeerGone(str(error)) from error
        return len(frame)

    def send_all(self, rest: bytes) -> None:
        view = memoryview(rest)
        while view:
            sent = self._sock.send(view)
            if sent < len(view):  # SO_SNDTIMEO expired
                raise TimeoutError("the peer stopped reading")
            view = view[sent:]

    def say_goodbye(self) -> None:
        """Close 1001 from the select loop, which must not wait behind a sender for long."""
        if not self.taken or not self._lock.acquire(timeout=0.1):
            return
        try:
            self._sock.send(_GOING_AWAY, socket.MSG_DONTWAIT)
        except OSError:
            self.abort()
        finally:
            self._said_goodbye = True
            self._lock.release()

    def abort(self, how: int = socket.SHUT_RDWR) -> None:
        """Wake whoever is blocked in `recv` or `send`; the file descriptor stays ours."""
        with contextlib.suppress(OSError):  # not connected any more: nobody is blocked either
            self._sock.shutdown(how)

    def close(self) -> None:
        self.abort()
        with self._lock:  # never free the descriptor's number under a sender
            self._sock.close()
        self.closed.set()


class UpgradedChannel(Protocol):
    """The channel that a WebSocket came by; its server forgot it, but waitress' task goes on asking it."""

    handover: HandoverSocket | None
    connected: bool


class WebSocketTask(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ["SERVER_SOFTWARE"] = "hearth"
        environ["werkzeug.socket"] = self.channel.handover
        return environ

    def write(self, data: bytes) -> None:
        if self.channel.handover.taken:
            self.content_bytes_written += len(data)  # as far as waitress may know, all is well
        else:
            self.set_close_on_finish()
            super().write(data)

    def finish(self) -> None:
        if not self.channel.handover.taken:
            super().finish()


class WebSockets:
    """The open ones: counted against a limit, and closed together."""

    def __init__(self, maximum: int, close_seconds: float):
        self._maximum, self._close_seconds = maximum, close_seconds
        self._lock = threading.Lock()
        self._open: set[HandoverSocket] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._open)

    @property
    def has_room(self) -> bool:
        return not self._closing and len(self._open) < self._maximum

    def start(self, channel: UpgradedChannel, request: Parser, handover: HandoverSocket) -> None:
        with self._lock:
            self._open.add(handover)
        arguments = (channel, request, handover)
        threading.Thread(target=self._serve, args=arguments, name="websocket", daemon=True).start()

    def say_goodbye(self) -> None:
        self._closing = True
        for handover in self._now_open():
            handover.say_goodbye()

    def abort(self) -> None:
        """`receive()` sees the end of the file and raises ConnectionClosed."""
        for handover in self._now_open():
            handover.abort(socket.SHUT_RD)

    def _now_open(self) -> list[HandoverSocket]:
        with self._lock:
            return list(self._open)

    def _serve(self, channel: UpgradedChannel, request: Parser, handover: HandoverSocket) -> None:
        try:
            WebSocketTask(channel, request).service()
        except OSError as error:
            log.info("A WebSocket's client left: %s", error)
        finally:
            self._finish(handover)
            channel.connected = False
            request.close()
            with self._lock:
                self._open.discard(handover)

    def _finish(self, handover: HandoverSocket) -> None:
        """The closing handshake gets a moment; simple_websocket's reader thread closes the socket after it."""
        if handover.taken and not handover.closed.wait(self._close_seconds):
            handover.abort()
            handover.closed.wait(0.5)
        handover.close()
