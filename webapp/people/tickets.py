"""Tickets for the first page of a browser: who can write one into the run folder is its owner, and may sign in.

A ticket is an empty file whose name is the secret. It is good once and for a short while. Knows no HTTP.
"""

from __future__ import annotations

import html
import logging
import os
import re
import secrets
import time
from pathlib import Path

log = logging.getLogger(__name__)

GOOD_FOR_SECONDS = 300.0
_TICKET = re.compile(r"[A-Za-z0-9_-]{43}")


class Tickets:
    def __init__(self, run: Path):
        self._folder = run / "tickets"

    def issue(self) -> str:
        """A new ticket; those that nobody used in time go."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._delete_old()
        ticket = secrets.token_urlsafe(32)
        os.close(os.open(self._folder / ticket, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return ticket

    def _delete_old(self) -> None:
        for file in self._folder.iterdir():
            if _age_seconds(file) > GOOD_FOR_SECONDS:
                try:
                    file.unlink(missing_ok=True)
                except OSError as error:
                    log.warning("an old ticket could not be deleted: %s", error)

    def redeem(self, ticket: str) -> bool:
        """Whether it was good; no longer is it. Of two who come at once, one is let in: only one can unlink a file."""
        if not _TICKET.fullmatch(ticket):
            return False
        file = self._folder / ticket
        fresh = _age_seconds(file) <= GOOD_FOR_SECONDS
        try:
            file.unlink()
        except OSError:
            return False
        return fresh

    def link(self, url: str) -> str:
        return f"{url}/sign-in?ticket={self.issue()}"

    def page(self, url: str) -> Path:
        """A file of the owner's alone that leads there: other people see the command lines of browsers, not this."""
        page = self._folder.parent / "open.html"
        text = PAGE.replace("LINK", html.escape(self.link(url), quote=True))
        draft = page.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(page)
        return page


def _age_seconds(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return float("inf")


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Hearth</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url=LINK">
<p><a href="LINK">Open Hearth</a></p></html>
"""
