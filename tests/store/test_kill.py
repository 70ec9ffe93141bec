"""Killed without warning while it writes: what was acknowledged is there, and the file is whole."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from webapp.store.database import Database
from webapp.store.schema import MIGRATIONS
from webapp.store.settings import SettingsStore

KILLS = 20
ACKNOWLEDGED_BEFORE_KILL = 60
WRITER = """
import itertools, sys, threading
from pathlib import Path
from webapp.store.database import Database
from webapp.store.schema import MIGRATIONS
from webapp.store.notices import Notices
from webapp.store.settings import SettingsStore

database, run = Database(Path(sys.argv[1]), MIGRATIONS), sys.argv[2]
notices, settings = Notices(database), SettingsStore(database)
output = threading.Lock()

def say(line):
    with output:
        print(line, flush=True)

def write(thread):
    for number in itertools.count():
        text = f"{run}-{thread}-{number}"
        with database.write() as tx:
            tx.query("INSERT INTO notices (text, created) VALUES (:text, 0)", text=text)
        say(text)

for thread in range(3):
    threading.Thread(target=write, args=(thread,)).start()
for number in itertools.count():
    settings.save({"max_tokens": number, "theme": "dark" if number % 2 else "light"}, removed=["port"])
    say(f"settings {number}")
"""


def test_twenty_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "hearth.db"
    acknowledged: set[str] = set()
    for run in range(KILLS):
        lines = killed_while_writing(path, run)
        acknowledged |= {line for line in lines if not line.startswith("settings")}
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database = Database(path, MIGRATIONS)
        assert database.set_aside is None
        with database.read() as tx:
            kept = {row["text"] for row in tx.query("SELECT text FROM notices")}
        assert acknowledged <= kept
        saved = SettingsStore(database).load()
        database.close()
        if numbers := [int(line.split()[1]) for line in lines if line.startswith("settings")]:
            assert saved["max_tokens"] in (numbers[-1], numbers[-1] + 1), "the last one saved, or the one under way"
        assert not saved or saved["theme"] == ("dark" if int(str(saved["max_tokens"])) % 2 else "light"), (
            "all of it or nothing"
        )
    assert len(acknowledged) > KILLS * ACKNOWLEDGED_BEFORE_KILL / 4


def killed_while_writing(path: Path, run: int) -> list[str]:
    """What it had acknowledged; a line cut in the middle was not."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(run)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(ACKNOWLEDGED_BEFORE_KILL + 7 * run)]
    process.kill()
    lines += process.stdout.readlines()
    process.wait()
    return [line.strip() for line in lines if line.endswith("\n")]
