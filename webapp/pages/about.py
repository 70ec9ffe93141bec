"""The about page: version, build, device, folders and licences, with buttons for the selftest and for quitting."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

from flask import Response, make_response, render_template

from webapp import paths
from webapp.errors import HearthError, TimedOut, Unavailable
from webapp.gate import server
from webapp.pages.room import room, wants_partial

blueprint = room("about")

SELFTEST_SECONDS = 120


@blueprint.get("/about")
def show() -> str:
    return render_template("pages/about.html", facts=facts(), libraries=libraries(), outcomes=None)


@blueprint.post("/about/selftest")
def selftest() -> Response:
    """Run the selftest in a process of its own, so that a crash in it does not end this one."""
    command = [*paths.this_program(), "selftest", "--json", "--data-dir", str(server().data.root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SELFTEST_SECONDS, cwd="/", check=False)
    except subprocess.TimeoutExpired:
        raise TimedOut(f"The selftest did not end within {SELFTEST_SECONDS} seconds.") from None
    try:
        outcomes = json.loads(done.stdout.strip().rpartition("\n")[2])["checks"]
    except (ValueError, KeyError):
        raise HearthError(f"The selftest itself ended with status {done.returncode}.") from None
    if wants_partial():
        return make_response(render_template("partials/selftest.html", outcomes=outcomes))
    page = render_template("pages/about.html", facts=facts(), libraries=libraries(), outcomes=outcomes)
    return make_response(page)


@blueprint.post("/about/quit")
def leave() -> str:
    """Stop Hearth. The client still gets this response, because the stop waits for running ones."""
    stop = server().quit
    if stop is None:
        raise Unavailable("This Hearth cannot stop itself. End it where it was started.")
    stop()
    return render_template("pages/quit.html")


@blueprint.get("/about/licences")
def licences() -> Response:
    text = (paths.PAPERS / "third-party-licences.txt").read_text("utf-8")
    return Response(text, content_type="text/plain; charset=utf-8")


def facts() -> list[tuple[str, str]]:
    here = server()
    folders = [str(folder) for folder in here.catalog.folders]
    return [
        ("Version", here.version),
        ("Build", build()),
        ("Device", here.backend.device),
        ("Float32 products", here.backend.blas),
        ("System", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("Program", sys.executable if paths.PACKAGED else str(paths.ROOT)),
        ("Data", str(here.data.root)),
        ("Logs", str(here.data.logs)),
        *(("Models", folder) for folder in folders),
    ]


def build() -> str:
    """Return what the program was built from, or that it runs from its source, and Python's version."""
    python = f"Python {platform.python_version()}"
    if not paths.PACKAGED:
        return f"runs from its source, {python}"
    return f"{(paths.PAPERS / 'build.txt').read_text('utf-8').strip()}, {python}"


def libraries() -> list[dict[str, str]]:
    bill = json.loads((paths.PAPERS / "sbom.json").read_text("utf-8"))
    return [
        {"name": part["name"], "version": part["version"], "licence": part["licenses"][0]["license"]["name"]}
        for part in bill["components"]
    ]
