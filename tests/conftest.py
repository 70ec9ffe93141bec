"""Shared by all tests: tiny models made on the spot, and one real server on a free port."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from tiny_models import make_model

# Every HTTP client would read all root certificates, which took a tenth of the tests' time; nothing here speaks TLS.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

if TYPE_CHECKING:
    from webapp.server import Server
    from webapp.store.database import Database

QWEN = "tests/qwen3-nano"
LLAMA = "tests/llama-nano"


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random-weight models, as `DIR/org/name`."""
    root = tmp_path_factory.mktemp("models")
    make_model(root / QWEN, "qwen3", "nano", seed=1)
    make_model(root / LLAMA, "llama", "nano", seed=2)
    return root


@dataclass(frozen=True)
class Hearth:
    """A running server: its address, its long-lived objects, and the names of its tiny models."""

    base_url: str
    server: Server
    models: tuple[str, ...] = (QWEN, LLAMA)


def run_server(data_dir: Path, models_dirs: tuple[Path, ...], **overrides: object) -> Iterator[Hearth]:
    """A real server on a free port until the generator is closed."""
    from webapp.app import create_app
    from webapp.paths import DataDir
    from webapp.server import Options, Server
    from webapp.wsgi import WebServer
    from webapp.wsgi.guards import Guards

    options = Options(models_dirs, {"port": 0, **overrides}, {})
    server = Server(options, DataDir.at(data_dir))
    application = Guards(create_app(server), server.admitted, server.audit.refused)
    web = WebServer(application, "127.0.0.1", 0, on_refusal=server.audit.refused)
    loop = threading.Thread(target=web.run, name="web", daemon=True)
    server.start()
    loop.start()
    try:
        yield Hearth(f"http://127.0.0.1:{web.address[1]}", server)
    finally:
        server.drain(0)
        web.stop(2)
        loop.join(10)
        server.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    from webapp.store.database import Database
    from webapp.store.schema import MIGRATIONS

    database = Database(tmp_path / "hearth.db", MIGRATIONS)
    yield database
    database.close()


@pytest.fixture
def exposed(tmp_path: Path, models_dir: Path) -> Iterator[Server]:
    """One that other machines reach, its engine at rest."""
    from webapp.paths import DataDir
    from webapp.server import Options, Server

    server = Server(Options((models_dir,), {"host": "0.0.0.0"}, {}), DataDir.at(tmp_path))
    yield server
    server.close()


@pytest.fixture(scope="session")
def hearth(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    yield from run_server(tmp_path_factory.mktemp("data"), (models_dir,))
