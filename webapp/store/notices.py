"""Notices that every page shows until somebody dismisses them. They survive restarts."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from webapp.store.database import FAILURES, Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    id: int
    text: str
    created: float


class Notices:
    """Keeps the standing notices in memory too, because every page reads them."""

    def __init__(self, database: Database):
        self._database = database
        self.standing = self._load()

    def add(self, text: str) -> None:
        """Show a notice from now on. If the database cannot store it, only the log has it."""
        try:
            with self._database.write() as tx:
                tx.query("insert into notices (text, created) values (:text, :now)", text=text, now=time.time())
        except FAILURES as error:
            log.error("this notice could not be kept: %s (%s)", text, error)
            return
        self.standing = self._load()

    def say_if_set_aside(self, database: Database, copy: Path | None) -> None:
        """Add a notice if a damaged file was moved aside: where it is, and which copy of it is the newest."""
        if database.set_aside is None:
            return
        text = f"{database.path.name} was damaged. It is kept as {database.set_aside}; Hearth began a new one."
        if copy is not None and copy.stem.startswith(database.path.stem):
            text += (
                f" The newest copy is {copy}. To go back to it, stop Hearth and put it in the place of {database.path}."
            )
        self.add(text)

    def dismiss(self, notice_id: int) -> None:
        with self._database.write() as tx:
            tx.query("delete from notices where id = :id", id=notice_id)
        self.standing = self._load()

    def _load(self) -> tuple[Notice, ...]:
        with self._database.read() as tx:
            return tuple(Notice(**row) for row in tx.query("select id, text, created from notices order by id"))
