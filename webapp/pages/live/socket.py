"""`/live`: the one WebSocket of a tab. The tab says what it shows; it is sent what changed, as partials."""

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
# A tab whose open block grew huge is drawn less often, so that it never takes the engine's time.
BREATHERS = 4
PING_SECONDS = 25
LONGEST_MESSAGE_BYTES = 64 * 1024
SERVICE_RESTARTS = 1012


class WakingEvent(threading.Event):
    """simple_websocket sets one of these when a message or the end arrives; `also` hears of it too.

    Waiting for ever is cut into pieces: simple-websocket 1.1.0 sets the event of a refused message before
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
    """Runs on the socket's own thread until the tab goes; receive and send then raise ConnectionClosed."""
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
    # Sign-in was switched on meanwhile, or a key was revoked: the tab of whoever has signed in comes back by itself.
    socket.close(SERVICE_RESTARTS)


def is_admitted() -> bool:
    try:
        admitted()
    except HearthError:
        return False
    return True
