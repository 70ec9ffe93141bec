"""Tickets sign in the first page of a browser. Only the owner of the run folder can write one there.

A ticket is an empty file whose name is the secret. It works once, within `GOOD_FOR_SECONDS`. Knows no HTTP.
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
    """Issues and redeems the tickets of a run folder."""

    def __init__(self, run: Path):
        self._folder = run / "tickets"

    def issue(self) -> str:
        """Write a new ticket and delete the expired ones."""
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
        """Use a ticket up; True if it was valid. Of two callers at once only one succeeds in deleting the file."""
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
        """Writes a page, readable by the owner alone, that redirects to the link: others can read command lines."""
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
