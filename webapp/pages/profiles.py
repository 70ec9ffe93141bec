"""Profiles: rows on the models page, and the form that makes, copies, changes and deletes one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import count

from flask import Response, make_response, redirect, render_template, request, url_for

from webapp.errors import Conflict, InvalidFields, ModelNotFound, ProfileNotFound
from webapp.gate import server, who
from webapp.generation import GenerationRequest, InstalledModel, Terms
from webapp.pages.room import room, wants_partial
from webapp.routing.profiles import LONGEST_NAME, TABLE, Profile
from webapp.routing.terms import Target, terms
from webapp.server import Server

THINKING = {"on": True, "off": False}
OPTION = "enable_thinking"
RARE = ("top_k", "min_p", "repetition_penalty", "template_options")

blueprint = room("profiles")


@blueprint.get("/profiles/new")
def new() -> Response:
    """Return an empty form or a copy. htmx calls this only when the model changes, for that model's defaults."""
    if wants_partial():
        return make_response(render_template("partials/profile_otherwise.html", otherwise=_otherwise(_model_asked())))
    copied = server().profiles.find(request.args.get("copy", ""))
    if copied is None:
        return _form(None, {"model": _model_asked().id}, {})
    return _form(None, written(copied) | {"name": _free_name(copied.name)}, {})


@blueprint.post("/profiles/new")
def create() -> Response:
    try:
        profile = server().administration.profiles.create(who(), typed_values(request.form))
    except (InvalidFields, Conflict) as error:
        return _form(None, request.form, _by_field(error))
    return _to_list(saved=profile.name)


@blueprint.get("/profiles/<path:name>")
def show(name: str) -> Response:
    profile = _existing(name)
    return _form(profile, written(profile), {})


@blueprint.post("/profiles/<path:name>")
def save(name: str) -> Response:
    """Save or delete a profile. Both share an address: names may have slashes, so none can end in /delete."""
    if "delete" in request.form:
        return _delete(name)
    profile = _existing(name)
    try:
        saved = server().administration.profiles.replace(who(), name, typed_values(request.form))
    except (InvalidFields, Conflict) as error:
        return _form(profile, request.form, _by_field(error))
    return _to_list(saved=saved.name)


def profile_rows(server: Server) -> list[tuple[Profile, list[str], bool]]:
    """Return every profile with its differences, and whether its model is installed."""
    installed = {model.id for model in server.catalog.models()}
    return [
        (profile, list(differences(profile)), profile.model in installed)
        for profile in server.profiles.current.values()
    ]


def differences(profile: Profile) -> Iterator[str]:
    """Yield the profile's own choices in words, except the system prompt and the pin, which the page shows apart."""
    for name, value in profile.choices.items():
        match name, value:
            case ("system_prompt" | "pinned", _):
                continue
            case "idle_minutes", 0:
                yield "never unloaded when idle"
            case "template_options", _:
                options = dict(profile.template_options)
                if (thinking := _thinking(options)) is not None:
                    yield f"thinking {thinking}"
                yield from (f"{option} {json.dumps(options[option])}" for option in options)
            case _:
                yield f"{TABLE[name].label.lower()} {_spoken(value)} {TABLE[name].unit}".strip()


def what_happened(args: Mapping[str, str]) -> str | None:
    """Return the message above the list after a form without htmx, if it is true."""
    saved, deleted = args.get("saved"), args.get("deleted")
    if saved is not None and server().profiles.find(saved):
        return f"Saved “{saved}”."
    return "The profile is deleted." if deleted is not None else None


def written(profile: Profile) -> dict[str, str]:
    """Return the profile's values as the controls of its form show them."""
    options = dict(profile.template_options)
    texts = {name: _number(value) for name, value in profile.choices.items() if isinstance(value, int | float)}
    return texts | {
        "name": profile.name,
        "model": profile.model,
        "system_prompt": profile.system_prompt or "",
        "thinking": _thinking(options) or "",
        "template_options": json.dumps(options, ensure_ascii=False) if options else "",
        "pinned": "on" if profile.pinned else "",
    }


def typed_values(form: Mapping[str, str]) -> dict[str, object]:
    """Return the form's values for `Profiles` to check. Browsers send line ends as CR LF; these become LF."""
    values: dict[str, object] = {name: form[name].replace("\r\n", "\n") for name in TABLE if name in form}
    return values | {"template_options": _typed_options(form), "pinned": form.get("pinned") == "on"}


def _typed_options(form: Mapping[str, str]) -> object:
    """Return the template options with the thinking switch. Invalid JSON stays text, which the check refuses."""
    text = form.get("template_options", "").strip()
    try:
        options = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
    thinking = THINKING.get(form.get("thinking", ""))
    return options if thinking is None or not isinstance(options, dict) else options | {OPTION: thinking}


def _thinking(options: dict[str, object]) -> str | None:
    """Remove the switch from the options and return it: "on", "off", or None where the model decides."""
    word = next((word for word, value in THINKING.items() if options.get(OPTION) is value), None)
    if word is not None:
        del options[OPTION]
    return word


def _number(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _spoken(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _number(value)


def _form(profile: Profile | None, typed: Mapping[str, str], errors: Mapping[str, str]) -> Response:
    template = "partials/profile.html" if wants_partial() else "pages/profile.html"
    page = render_template(
        template,
        room="models",
        profile=profile,
        typed=typed,
        errors=errors,
        table=TABLE,
        shows_rare=any(typed.get(name) or name in errors for name in RARE),
        models=server().catalog.models(),
        otherwise=_otherwise(_installed(typed.get("model", ""))),
    )
    return make_response(page, 400 if errors else 200)


def _otherwise(model: InstalledModel | None) -> dict[str, str]:
    """Return a hint for each field that may be empty: the value that then applies, and where it comes from."""
    settings = server().settings.current
    idle = f"{_number(settings.idle_minutes)} minutes" if settings.idle_minutes else "never"
    words = {"idle_minutes": f"empty means {idle}, from Settings"}
    if model is None:
        return words
    agreed = terms(GenerationRequest("", model.id), Target(model), settings)
    for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty"):
        recommended = name in model.sampling
        chosen = getattr(settings, name, None) is not None
        who = ", the model’s own" if recommended else ", from Settings" if chosen else ""
        words[name] = f"empty means {_number(getattr(agreed.sampling, name))}{who}"
    return words | _otherwise_tokens(agreed)


def _otherwise_tokens(agreed: Terms) -> dict[str, str]:
    return {
        "max_tokens": f"empty means {agreed.max_tokens:,}, from Settings",
        "context_length": f"empty means {agreed.context_length:,}, all the model holds",
    }


def _model_asked() -> InstalledModel:
    return _installed(request.args.get("model", "")) or server().catalog.default


def _installed(model_id: str) -> InstalledModel | None:
    try:
        return server().catalog.find(model_id)
    except ModelNotFound:
        return None


def _free_name(name: str) -> str:
    """Return a name for a copy: the first of helper-2, helper-3, … that is free."""
    stem = name[: LONGEST_NAME - 5]
    return next(free for number in count(2) if (free := f"{stem}-{number}") not in server().profiles.current)


def _existing(name: str) -> Profile:
    profile = server().profiles.find(name)
    if profile is None:
        raise ProfileNotFound(name)
    return profile


def _by_field(error: InvalidFields | Conflict) -> Mapping[str, str]:
    return error.errors if isinstance(error, InvalidFields) else {error.param: str(error)}


def _to_list(saved: str | None = None, deleted: str | None = None) -> Response:
    """Redirect to the list, which shows what happened."""
    address = url_for("models.show", saved=saved, deleted=deleted, _anchor="profiles")
    if wants_partial():
        return make_response("", 200, {"HX-Redirect": address})
    return make_response(redirect(address, 303))


def _delete(name: str) -> Response:
    server().administration.profiles.delete(who(), name)
    if not wants_partial():
        return _to_list(deleted=name)
    rows = render_template("partials/profiles.html", profiles=profile_rows(server()))
    notice = render_template("partials/notice.html", message=f"Deleted “{name}”.", kind="status")
    return make_response(rows + notice)
