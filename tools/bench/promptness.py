"""How soon a place is free once its client has left, and how quick pages are beside a hundred streams.

Starts a real server on random-weight models made on the spot. Times are in milliseconds; a place is free when
/api/pool no longer lists the request.

    python tools/bench/promptness.py [--tries 8]
"""

from __future__ import annotations

import argparse
import http.client
import json
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from efficiency import TOOLS, hearth

SMALL, NANO, COLD = "bench/small", "bench/nano", "bench/cold"
STREAMS = 100
PAGES = 50
PATIENCE_SECONDS = 30


class Client:
    """Asks one server, a fresh connection each time."""

    def __init__(self, url: str):
        self._address = urlsplit(url).netloc

    def ask(self, model: str, words: str, max_tokens: int, stream: bool = True) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._address, timeout=120)
        body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": max_tokens}
        text = json.dumps({**body, "stream": stream, "temperature": 0})
        connection.request("POST", "/v1/chat/completions", text, {"Content-Type": "application/json"})
        return connection

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        connection.request("GET", path)
        content = connection.getresponse().read()
        connection.close()
        return content

    def configure(self, **settings: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        connection.request("PUT", "/api/settings", json.dumps(settings), {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()

    def pool(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/api/pool")))

    def wait(self, ready: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready(self.pool()):
            if time.monotonic() > deadline:
                raise SystemExit("waited in vain for a state of the pool")
            time.sleep(0.003)

    def freed_after(self, connection: http.client.HTTPConnection, running: int = 0) -> float:
        """Milliseconds from closing a connection until only `running` requests are left."""
        started = time.perf_counter()
        connection.close()
        self.wait(lambda pool: len(pool["requests"]) == running)
        return (time.perf_counter() - started) * 1000


def in_state(name: str, completion_tokens: int = 0) -> Callable[[dict[str, Any]], bool]:
    def reached(pool: dict[str, Any]) -> bool:
        found = (request for request in pool["requests"] if request["state"] == name)
        return any(request["completion_tokens"] >= completion_tokens for request in found)

    return reached


def leave_decode(client: Client, number: int, stream: bool) -> float:
    connection = client.ask(SMALL, f"{number} hello", 2000, stream)
    client.wait(in_state("decode", completion_tokens=5))
    return client.freed_after(connection)


def leave_prefill(client: Client, number: int) -> float:
    connection = client.ask(SMALL, f"{number} " + "a word and another " * 600, 2000)
    client.wait(in_state("prefill"))
    return client.freed_after(connection)


def leave_queue(client: Client, number: int) -> float:
    client.configure(batch_size=1)
    running = client.ask(SMALL, f"{number} stay", 2000)
    client.wait(in_state("decode"))
    connection = client.ask(SMALL, f"{number} wait", 2000)
    client.wait(in_state("waiting"))
    milliseconds = client.freed_after(connection, running=1)
    client.freed_after(running)
    client.configure(batch_size=128)
    return milliseconds


def leave_load(client: Client) -> float:
    connection = client.ask(COLD, "hello", 2000)
    client.wait(lambda pool: any(model["state"] == "loading" for model in pool["models"]))
    return client.freed_after(connection)


def pages_beside_streams(client: Client) -> tuple[int, list[float]]:
    """How many streams ran all the while, and the milliseconds that each page took."""
    connections = [client.ask(NANO, f"{number} go on", 3900) for number in range(STREAMS)]
    reader = threading.Thread(target=read_all, args=(connections,), daemon=True)
    reader.start()
    client.wait(lambda pool: pool["running"] == STREAMS)
    times = []
    for _ in range(PAGES):
        started = time.perf_counter()
        client.get("/chat")
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.02)
    running = int(client.pool()["running"])
    for connection in connections:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    reader.join(PATIENCE_SECONDS)
    client.wait(lambda pool: not pool["requests"])
    return running, times


def read_all(connections: list[http.client.HTTPConnection]) -> None:
    """Take in what all of them send, on one thread: a hundred would measure themselves."""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            assert connection.sock is not None
            selector.register(connection.sock, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if not key.fileobj.recv(1 << 16):
                    selector.unregister(key.fileobj)


def show(name: str, times: list[float]) -> None:
    print(f"{name:32} median {statistics.median(times):7.1f}  longest {max(times):7.1f}  of {len(times)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time what a client that leaves, or opens a page, has to wait for.")
    parser.add_argument("--tries", type=int, default=8)
    tries = parser.parse_args().tries
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        for name, size in ((SMALL, "small"), (NANO, "nano"), (COLD, "medium")):
            maker = [str(TOOLS / "tiny_models.py"), str(Path(folder) / "models" / name), "--size", size]
            subprocess.run([sys.executable, *maker], check=True, stdout=subprocess.DEVNULL)
        with hearth(Path(folder) / "models", Path(folder) / "data") as (url, _):
            client = Client(url)
            client.configure(batch_size=128)
            leave_decode(client, -1, stream=True)  # warms up
            show("leaves while answering", [leave_decode(client, number, True) for number in range(tries)])
            show("leaves a plain answer", [leave_decode(client, number, False) for number in range(tries)])
            show("leaves in prefill", [leave_prefill(client, number) for number in range(tries)])
            show("leaves the queue", [leave_queue(client, number) for number in range(tries)])
            show("leaves while the model loads", [leave_load(client)])
            running, times = pages_beside_streams(client)
            show(f"/chat beside {running} streams", times)


if __name__ == "__main__":
    main()
