"""Writes docs/settings.md from the table of settings. A test holds the page to it.

python tools/settings_docs.py
"""

from __future__ import annotations

from pathlib import Path

from webapp.settings.field import Field
from webapp.settings.table import table, variable_name

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
HEAD = ("", "| setting | what it does | default | takes | environment | applies |", "|---|---|---|---|---|---|")

INTRODUCTION = """\
# Settings

This page is written by `tools/settings_docs.py` from the table in `webapp/settings/table.py`; edit the table.

A setting is changed on the Settings page, by `PUT /api/settings` with `{name: value, …}`, by its environment variable,
or by its command-line option where there is one. The command line wins over the environment, the environment over
what was saved, and that over the default; the page shows which one won. Saving checks everything first: one value
that does not fit changes no other. `null` or an empty text puts a setting back to its default.

*Applies*: "now" acts on requests from the next step on, while running answers finish under the settings they began
with; "restart" acts when Hearth starts again."""


def render() -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    section = ""
    for name, field in table().items():
        if field.section != section:
            section = field.section
            lines += ["", f"## {section}", *HEAD]
        shown = field.unset or (f"`{field.default}`" if field.default != () else "none")
        what = f"{field.label}. {field.help}"
        lines.append(f"| `{name}` | {what} | {shown} | {takes(field)} | `{variable_name(name)}` | {field.applies} |")
    return "\n".join(lines) + "\n"


def takes(field: Field) -> str:
    if field.type == "text":
        return "an IP address of this machine" if field.check else "text"
    return f"{field.limits} {field.unit}".rstrip()


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
