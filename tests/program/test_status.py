"""What `hearth status` says of a server that does not answer as it should: words, and never a traceback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from webapp.people.tickets import Tickets
from webapp.program.instance import Running
from webapp.program.status import show

HEALTH = {"status": "healthy", "version": "1", "device": "CPU", "blas": "none"}
POOL = {
    "used_bytes": 1, "limit_bytes": 2_000_000_000, "running": 0, "waiting": 0, "tokens_per_second": 0.0,
    "models": [{"id": "ember", "state": "loaded", "weights_bytes": 4_000_000}],
}  # fmt: skip
Answers = dict[str, tuple[int, bytes]]


@pytest.fixture
def answering() -> Iterator[Callable[[Answers], Running]]:
    """A server that answers each path as told; a path that it was told nothing of is never answered."""
    servers: list[ThreadingHTTPServer] = []
    over = threading.Event()

    def start(answers: Answers) -> Running:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path not in answers:
                    over.wait(30)
                    return
                status, body = answers[self.path]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return Running(1, "127.0.0.1", server.server_port)

    yield start
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def said(running: Running, folder: Path, as_json: bool = False) -> int:
    return show(running, Tickets(folder), as_json=as_json, patience_seconds=0.5)


def as_bytes(body: object) -> bytes:
    return json.dumps(body).encode()


def well(**others: tuple[int, bytes]) -> Answers:
    known: Answers = {
        "/health": (200, b"{}"),
        "/v1/health": (200, as_bytes(HEALTH)),
        "/api/pool": (200, as_bytes(POOL)),
    }
    return known | {f"/{name.replace('_', '/')}": answer for name, answer in others.items()}


def test_one_that_is_well(
    answering: Callable[[Answers], Running], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(answering(well()), tmp_path) == 0
    assert "model    ember: loaded, 4.0 MB" in capsys.readouterr().out
    assert said(answering(well()), tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["pool"] == POOL


def test_one_that_is_not_well_says_so(
    answering: Callable[[Answers], Running], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(answering(well(v1_health=(503, as_bytes(HEALTH | {"status": "unhealthy"})))), tmp_path) == 0
    assert "engine   unhealthy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((401, as_bytes({"error": {"message": "A key is needed."}})), "status 401, A key is needed."),
        ((500, as_bytes({"error": "broken"})), "status 500."),
        ((502, b"<html>"), "status 502."),
        ((503, as_bytes(["no"])), "status 503."),
        ((200, b"<html>"), "its answer is not JSON."),
        ((200, b"[1]"), "its answer is not JSON."),
        ((200, b'{"used_bytes": null}'), "its answer is not one of Hearth's."),
    ],
)
def test_an_answer_that_is_none_is_told_in_words(
    answering: Callable[[Answers], Running],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, bytes],
    reason: str,
) -> None:
    assert said(answering(well(api_pool=answer)), tmp_path) == 1
    assert capsys.readouterr().err.strip().endswith(f": {reason}")


def test_a_silent_one_is_told_in_words(
    answering: Callable[[Answers], Running], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(answering({"/health": (200, b"{}")}), tmp_path) == 1
    assert "timed out" in capsys.readouterr().err


def test_one_that_is_gone_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(Running(1, "127.0.0.1", 1), tmp_path) == 1
    assert "refused" in capsys.readouterr().err
