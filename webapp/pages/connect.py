"""The connect page: the address, API keys, and for each tool the text that connects it, to copy and to try."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, abort, current_app, make_response, render_template, request

from webapp.addresses import reachable
from webapp.errors import Conflict, InvalidFields
from webapp.gate import access, own_address, server, visitor, who
from webapp.pages import snippets, trial
from webapp.pages.drawing.markdown import coloured
from webapp.pages.room import room, wants_partial
from webapp.pages.snippets import TOOLS, ClientTool, Connection
from webapp.pages.trial import Trial
from webapp.people.access import NO_KEY
from webapp.people.keys import Key

DAY = 86_400
LASTS = (("", "For ever"), (str(30 * DAY), "30 days"), (str(90 * DAY), "90 days"), (str(365 * DAY), "A year"))
LONGEST_KEY = 200
YOUR_KEY = "YOUR_KEY"

blueprint = room("connect")


@blueprint.get("/connect")
def show() -> Response:
    return _room()


@blueprint.post("/connect")
def fill_in() -> Response:
    """Return the texts with another model or key. The key comes in a body, as browsers store addresses."""
    if wants_partial():
        return make_response(render_template("partials/tools.html", **_tools(request.form)))
    return _room(request.form)


@blueprint.post("/connect/keys")
def create_key() -> Response:
    form = request.form
    lasts, models = form.get("expires", ""), [name for name in form.getlist("models") if name]
    values = {
        "name": form.get("name", ""),
        "scope": form.get("scope", ""),
        "expires": int(lasts) if lasts.isascii() and lasts.isdigit() and len(lasts) < 12 else lasts,
        "models": models,
    }
    try:
        key, secret = server().administration.keys.create(who(), values)
    except (InvalidFields, Conflict) as error:
        errors = error.errors if isinstance(error, InvalidFields) else {error.param: str(error)}
        return _room(form, errors=errors)
    model = models[0] if models else form.get("model", "")
    return _room({"key": secret, "model": model, "tool": form.get("tool", "")}, made=key)


@blueprint.post("/connect/keys/revoke")
def revoke_key() -> Response:
    key = server().administration.keys.revoke(who(), request.form.get("name", ""))
    notice = f"“{key.name}” is revoked."
    if wants_partial():
        return make_response(_keys() + render_template("partials/notice.html", message=notice, kind="status"))
    return _room(notice=notice)


@blueprint.post("/connect/try/<tool_name>")
def try_out(tool_name: str) -> Response:
    tool = next((tool for tool in offered() if tool.name == tool_name), None) or abort(404)
    tried = _ask(tool, _connection(request.form))
    if wants_partial():
        return make_response(render_template("partials/trial.html", tool=tool, tried=tried))
    return _room({**request.form, "tool": tool.name}, tried={tool.name: tried})


def offered() -> list[ClientTool]:
    """Return the tools whose route Hearth has."""
    routes = {rule.rule for rule in current_app.url_map.iter_rules()}
    return [tool for tool in TOOLS if tool.route in routes]


def _ask(tool: ClientTool, to: Connection) -> Trial:
    """Send the tool's request with the key in the texts, or else with the browser's own cookie."""
    if to.key in (NO_KEY, YOUR_KEY):
        headers = {"Cookie": request.headers.get("Cookie", "")}
    else:
        headers = {"Authorization": f"Bearer {to.key}"}
    host = reachable(request.environ["SERVER_NAME"])
    body = snippets.body_for(tool.route, to.model)
    return trial.ask(host, int(request.environ["SERVER_PORT"]), tool.route, body, headers)


def _connection(form: Mapping[str, str]) -> Connection:
    model = form.get("model", "") or server().catalog.default.id
    key = form.get("key", "").strip()[:LONGEST_KEY]
    printable = key.isascii() and key.isprintable() and " " not in key
    shown = key if key and printable else YOUR_KEY if access().exposed else NO_KEY
    return Connection(own_address(), shown, model)


def _tools(form: Mapping[str, str], tried: Mapping[str, Trial] | None = None) -> dict[str, object]:
    to, tools = _connection(form), offered()
    return {
        "tools": [(tool, tool.snippets(to)) for tool in tools],
        "chosen": next((tool.name for tool in tools if tool.name == form.get("tool")), tools[0].name),
        "to": to,
        "typed_key": "" if to.key in (NO_KEY, YOUR_KEY) else to.key,
        "names": [target.name for target in server().router.targets()],
        "needs_key": access().exposed,
        "tried": tried or {},
        "coloured": coloured,
    }


def _keys() -> str:
    return render_template("partials/api_keys.html", keys=server().keys.current)


def _room(
    form: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    made: Key | None = None,
    notice: str = "",
    tried: Mapping[str, Trial] | None = None,
) -> Response:
    typed = form or {}
    template = "partials/connect.html" if wants_partial() else "pages/connect.html"
    page = render_template(
        template,
        **_tools(typed, tried),
        keys=server().keys.current,
        lasts=LASTS,
        typed=typed if errors else {},
        errors=errors or {},
        made=made,
        notice=notice,
        exposed=access().exposed,
        host=server().settings.current.host,
        name=visitor().name,
        signed_in=visitor().signed_in,
    )
    return make_response(page, 400 if errors else 200)
