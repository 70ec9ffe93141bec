"""The settings page: made of the settings table, answered in place, nothing typed is lost."""

from __future__ import annotations

import json
import re

from flask.testing import FlaskClient
from markupsafe import escape

from webapp.pages.settings import written
from webapp.server import Server

HTMX = {"HX-Request": "true"}


def test_every_setting_has_a_labelled_control(client: FlaskClient, server: Server) -> None:
    page = client.get("/settings").text
    for row in server.settings.fields():
        assert f"{row.label}</{'span' if row.type == 'models' else 'label'}>" in page
        assert f'name="{row.name}"' in page
        assert escape(row.help) in page
    assert re.search(r'name="max_waiting" value="7"[^>]*disabled', page, re.S)
    assert "set by HEARTH_MAX_WAITING" in page


def test_saving_acts_and_says_so_in_place(client: FlaskClient, server: Server) -> None:
    unchanged = str(server.settings.current.stall_ms)
    part = client.post("/settings", data={"batch_size": "4", "stall_ms": unchanged}, headers=HTMX)
    assert part.status_code == 200
    assert "<html" not in part.text and "Saved." in part.text
    assert server.settings.current.batch_size == 4
    saved = {row.name for row in server.settings.fields() if row.source == "saved"}
    assert saved == {"batch_size"}
    assert "default 32" in part.text


def test_an_emptied_field_goes_back_to_its_default(client: FlaskClient, server: Server) -> None:
    client.post("/settings", data={"batch_size": "4"})
    page = client.post("/settings", data={"batch_size": ""})
    assert "<html" in page.text
    assert server.settings.current.batch_size == 32


def test_a_value_that_does_not_fit_is_said_at_its_field_and_nothing_is_lost(
    client: FlaskClient, server: Server
) -> None:
    before = server.settings.current
    part = client.post("/settings", data={"batch_size": "lots", "stall_ms": "61", "temperature": "9"}, headers=HTMX)
    assert part.status_code == 400
    assert 'id="error-batch_size"' in part.text and 'id="error-temperature"' in part.text
    assert part.text.count('aria-invalid="true"') == 2
    assert 'value="lots"' in part.text and 'value="61"' in part.text
    assert server.settings.current == before


def test_the_theme_acts_at_once(client: FlaskClient) -> None:
    part = client.post("/settings", data={"theme": "light"}, headers=HTMX)
    assert json.loads(part.headers["HX-Trigger"]) == {"theme": {"value": "light"}}


def test_nothing_changed(client: FlaskClient, server: Server) -> None:
    shown = {row.name: written(row) for row in server.settings.fields()}
    assert "Nothing had changed." in client.post("/settings", data=shown).text
    assert not [row for row in server.settings.fields() if row.source == "saved"]
