"""The settings page: a form made of the settings table, answered in place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby

from flask import Response, make_response, render_template, request

from webapp.errors import InvalidFields, Unavailable
from webapp.gate import keep_session, server, visitor, who
from webapp.pages.room import room, wants_partial
from webapp.settings.layers import SettingRow

blueprint = room("settings")


@blueprint.get("/settings")
def show() -> Response:
    return _form({}, {})


@blueprint.post("/settings")
def save() -> Response:
    """Save the values that differ from the current ones; an emptied field goes back to its default."""
    typed = {name: ", ".join(filter(None, values)) for name, values in request.form.lists()}
    changed = {
        row.name: typed[row.name]
        for row in server().settings.fields()
        if row.name in typed and typed[row.name].strip() != written(row)
    }
    try:
        effects = server().administration.settings.save(who(), changed)
    except InvalidFields as error:
        return _form(typed, error.errors)
    response = _form({}, {}, saved=tuple(changed), effects=effects)
    # The visitor who switches sign-in on stays signed in; with a key, only as long as that is valid.
    if "sign_in" in changed and not visitor().signed_in:
        return keep_session(response, server().keys.begin_session(visitor().name))
    return response


@blueprint.post("/settings/restart")
def restart() -> Response:
    """Restart Hearth. The client still gets this response, because the stop waits for running ones."""
    again = server().restart
    if again is None:
        raise Unavailable("This Hearth cannot restart itself. Stop it and start it again.")
    again()
    return make_response(render_template("partials/notice.html", message="Hearth is starting again.", kind="status"))


def written(row: SettingRow) -> str:
    """Return the value as its control shows it."""
    if row.value is None:
        return ""
    if isinstance(row.value, tuple):
        return ", ".join(row.value)
    return f"{row.value:g}" if isinstance(row.value, float) else str(row.value)


def _form(
    typed: Mapping[str, str],
    errors: Mapping[str, str],
    saved: tuple[str, ...] | None = None,
    effects: list[str] | None = None,
) -> Response:
    rows = server().settings.fields()
    sections = [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.section)]
    template = "partials/settings.html" if wants_partial() else "pages/settings.html"
    page = render_template(
        template,
        sections=sections,
        typed=typed,
        errors=errors,
        wrong=[row for row in rows if row.name in errors],
        saved=saved,
        effects=effects or [],
        written=written,
        pending=server().restart_needed_for(),
        can_restart=server().restart is not None,
        installed=[model.id for model in server().catalog.models()],
    )
    response = make_response(page, 400 if errors else 200)
    if saved and "theme" in saved:
        response.headers["HX-Trigger"] = json.dumps({"theme": {"value": server().settings.current.theme}})
    return response
