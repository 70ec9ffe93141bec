"""A damaged database is told on every page until somebody has read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from webapp.app import create_app
from webapp.paths import DataDir
from webapp.server import Options, Server

HTMX = {"HX-Request": "true"}


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "hearth.db").write_text("nonsense " * 1000)
    (tmp_path / "audit.db").write_text("nonsense " * 1000)
    server = Server(Options((), {}, {"HF_HUB_CACHE": str(tmp_path)}), DataDir.at(tmp_path))
    yield server
    server.close()


@pytest.fixture
def client(damaged: Server) -> FlaskClient:
    return create_app(damaged).test_client()


def test_it_stands_on_every_page_and_names_the_file(client: FlaskClient, tmp_path: Path) -> None:
    for path in ("/chat", "/models", "/settings", "/audit"):
        page = client.get(path).text
        assert "hearth.db was damaged." in page and "audit.db was damaged." in page
    (kept,) = tmp_path.glob("hearth.db.corrupt-*")
    assert str(kept) in page
    assert kept.read_text() == "nonsense " * 1000


def test_it_goes_when_it_was_read_and_stays_gone(client: FlaskClient, damaged: Server, tmp_path: Path) -> None:
    first, second = damaged.notices.standing
    back = client.post(f"/notices/{first.id}/dismiss", headers={"Referer": "http://localhost/settings?x=1"})
    assert (back.status_code, back.headers["Location"]) == (303, "/settings")
    assert client.post(f"/notices/{second.id}/dismiss", headers=HTMX).status_code == 204
    assert "was damaged" not in client.get("/chat").text
    damaged.close()
    again = Server(Options((), {}, {"HF_HUB_CACHE": str(tmp_path)}), DataDir.at(tmp_path))
    assert again.notices.standing == ()
    again.close()


def test_it_survives_a_restart_until_then(damaged: Server, tmp_path: Path) -> None:
    damaged.close()
    again = Server(Options((), {}, {"HF_HUB_CACHE": str(tmp_path)}), DataDir.at(tmp_path))
    assert len(again.notices.standing) == 2
    again.close()


def test_it_names_the_newest_copy(tmp_path: Path) -> None:
    options = Options((), {}, {"HF_HUB_CACHE": str(tmp_path)})
    first = Server(options, DataDir.at(tmp_path))
    first.settings.save({"max_tokens": 77})
    first.backups.back_up_if_due()
    first.close()
    (tmp_path / "hearth.db").write_text("nonsense " * 1000)
    second = Server(options, DataDir.at(tmp_path))
    (notice,) = second.notices.standing
    (copy,) = (tmp_path / "backups").iterdir()
    assert str(copy) in notice.text
    second.close()
    copy.replace(tmp_path / "hearth.db")  # as the notice says
    third = Server(options, DataDir.at(tmp_path))
    assert third.settings.current.max_tokens == 77
    third.close()
