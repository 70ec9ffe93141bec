"""The about page: what this Hearth is, whose work is inside, and the selftest."""

from __future__ import annotations

from flask.testing import FlaskClient

from webapp.server import Server


def test_it_says_what_there_is_to_know(client: FlaskClient, server: Server) -> None:
    server.backend.wait(60)
    page = client.get("/about").text
    assert server.backend.blas in page and server.backend.blas != "starting"
    for fact in (server.version, str(server.data.root), str(server.data.logs), "never looks for updates", "mlx-lm"):
        assert fact in page
    assert client.get("/settings").text.count('href="/about"') == 1


def test_every_library_has_its_licence(client: FlaskClient) -> None:
    texts = client.get("/about/licences")
    assert texts.content_type == "text/plain; charset=utf-8"
    assert "Permission is hereby granted" in texts.text and "waitress" in texts.text


def test_the_selftest_at_a_button_s_press(client: FlaskClient) -> None:
    part = client.post("/about/selftest", headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "All 9 checks passed." in part.text
    assert "<html" not in part.text


def test_one_that_cannot_stop_itself_says_so(client: FlaskClient) -> None:
    assert client.post("/about/quit").status_code == 503
