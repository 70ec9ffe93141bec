"""`hearth key` makes, lists and revokes keys in the data folder itself, so it needs no server and no key."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from webapp.administration.keys import KeyDesk
from webapp.audit.log import AuditLog
from webapp.errors import HearthError
from webapp.paths import DataDir
from webapp.people.keys import Key, Keys
from webapp.settings.table import Settings
from webapp.store.database import Database
from webapp.store.keys import KeyStore
from webapp.store.schema import AUDIT, MIGRATIONS

# The `who` of the audit.
TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Keyring:
    keys: Keys
    desk: KeyDesk


@contextmanager
def opened(data: DataDir) -> Iterator[Keyring]:
    """Opens the keys of a data folder and its audit, and closes both."""
    os.umask(0o077)
    database = Database(data.database, MIGRATIONS, data.backups)
    audit = AuditLog(Database(data.audit_database, AUDIT, data.backups), Settings)
    audit.start()
    keys = Keys(KeyStore(database))
    try:
        yield Keyring(keys, KeyDesk(keys, audit, exposed=False))
    finally:
        audit.close()
        keys.close()
        database.close()


def create(data: DataDir, args: Namespace) -> int:
    """Make a key. Only the secret goes to standard output, so that a script can read it."""
    expires = args.expires
    if expires is not None and expires.isascii() and expires.isdigit() and len(expires) < 12:
        expires = int(expires)
    models = [name for name in args.models.split(",") if name.strip()]
    values = {"name": args.name, "scope": args.scope, "expires": expires, "models": models}
    try:
        with opened(data) as ring:
            key, secret = ring.desk.create(TERMINAL, values)
    except HearthError as error:
        return _refused(error)
    if args.json:
        print(json.dumps(key.shown() | {"secret": secret}))
        return 0
    print(secret)
    print(f"This is the secret of '{key.name}' ({key.scope}). It is shown only now.", file=sys.stderr)
    return 0


def show(data: DataDir, args: Namespace) -> int:
    with opened(data) as ring:
        keys = ring.keys.current
    if args.json:
        print(json.dumps({"keys": [key.shown() for key in keys]}))
        return 0
    for key in keys:
        models = ", ".join(key.models) or "all models"
        print(f"{key.name:24} {key.hint}…  {key.scope:9}  {_until(key):22}  {_used(key):26}  {models}")
    if not keys:
        print("There are no keys.")
    return 0


def revoke(data: DataDir, args: Namespace) -> int:
    try:
        with opened(data) as ring:
            key = ring.desk.revoke(TERMINAL, args.name)
    except HearthError as error:
        return _refused(error)
    print(json.dumps({"revoked": key.name}) if args.json else f"'{key.name}' is revoked.")
    return 0


def _refused(error: HearthError) -> int:
    print(error, file=sys.stderr)
    return 1


def _until(key: Key) -> str:
    return "for ever" if key.expires is None else f"until {datetime.fromtimestamp(key.expires):%Y-%m-%d %H:%M}"


def _used(key: Key) -> str:
    return "never used" if key.used is None else f"last used {datetime.fromtimestamp(key.used):%Y-%m-%d %H:%M}"
