"""`/live`: the one WebSocket of a tab. The tab sends what it shows, and Hearth sends the changes as partials."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_sock import Sock

from webapp.errors import HearthError
from webapp.gate import admitted, server
from webapp.pages.live.tab import Tab

COALESCE_SECONDS = 0.045
STATUS_SECONDS = 0.5
# Pauses last this many times the drawing: a tab with a huge open block must not take the engine's time.
BREATHERS = 4
PING_SECONDS = 25
LONGEST_MESSAGE_BYTES = 64 * 1024
SERVICE_RESTARTS = 1012


class WakingEvent(threading.Event):
    """simple_websocket sets this event when a message or the end arrives; `set` also calls `also`.

    A wait without a timeout ends after 5 seconds: simple-websocket 1.1.0 sets the event of a refused message before
    it marks the socket closed, and a reader that cleared it in between would sleep on.
    """

    also: Callable[[], None] | None = None

    def set(self) -> None:
        super().set()
        if self.also is not None:
            self.also()

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(timeout) if timeout is not None else (super().wait(5.0) or True)


def register(app: Flask) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {
        "ping_interval": PING_SECONDS,
        "event_class": WakingEvent,
        "max_message_size": LONGEST_MESSAGE_BYTES,
    }
    Sock(app).route("/live")(live)


def live(socket: Any) -> None:
    """Serve one tab on the socket's own thread. When the tab goes, receive and send raise ConnectionClosed."""
    tab = Tab(server())
    with server().chats.watch() as watch:
        socket.event.also = watch.wake
        while is_admitted():
            while (message := socket.receive(timeout=0)) is not None:
                tab.hear(message)
                watch.chat_id = tab.chat_id
            began = time.monotonic()
            for news in tab.news():
                socket.send(news)
            time.sleep(max(COALESCE_SECONDS, BREATHERS * (time.monotonic() - began)))
            watch.wait(STATUS_SECONDS)
    # Sign-in was switched on meanwhile, or a key was revoked. A tab that is signed in connects again by itself.
    socket.close(SERVICE_RESTARTS)


def is_admitted() -> bool:
    try:
        admitted()
    except HearthError:
        return False
    return True
