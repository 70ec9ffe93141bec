"""API keys: their rights, how they are made, and the search for the key of a secret. Knows no HTTP.

A secret is 256 random bits, so one SHA-256 of it is enough: slow, salted hashes protect passwords that people make up,
and nobody searches 2**256. Another process, such as `hearth key create`, may change the database, so `Keys` reads it
again every second.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from functools import partial
from types import MappingProxyType
from typing import Literal, cast

from webapp.errors import Conflict, KeyNotFound
from webapp.settings.field import Field, parse_all
from webapp.store.database import FAILURES
from webapp.store.keys import KeyStore, SavedKey, SavedSession

log = logging.getLogger(__name__)

Scope = Literal["inference", "admin"]

SCOPES: tuple[Scope, ...] = ("inference", "admin")
PREFIX = "hearth_"
SECRET_BYTES = 32
HINT_CHARACTERS = len(PREFIX) + 4
# The audit uses these names for others than keys.
TAKEN = ("local", "page", "api", "start", "terminal", "unknown")
MOST_MODELS = 100
LONGEST_MODEL = 512
LONGEST_SECONDS = 10 * 366 * 86_400
SESSION_SECONDS = 30 * 86_400
READ_AGAIN_SECONDS = 1.0
USE_NOTED_SECONDS = 60.0

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_WANTED = "must be 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"
LAST_ADMIN = (
    "'{name}' is the last admin key, and Hearth listens where nobody gets in without one. "
    "Make another first, or let it listen on 127.0.0.1 alone."
)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. `models` are the names it may use, and an empty tuple allows all. Times are seconds since 1970."""

    name: str
    hint: str
    scope: Scope
    models: tuple[str, ...]
    created: float
    expires: float | None
    used: float | None

    @classmethod
    def of(cls, saved: SavedKey) -> Key:
        scope = cast(Scope, saved.scope)
        return cls(saved.name, saved.hint, scope, saved.models, saved.created, saved.expires, saved.used)

    def shown(self) -> dict[str, object]:
        """The key as JSON for programs, with times in ISO 8601."""
        return {
            "name": self.name,
            "hint": self.hint,
            "scope": self.scope,
            "models": list(self.models),
            "created": _written(self.created),
            "expires": _written(self.expires),
            "last_used": _written(self.used),
        }

    def is_over(self, now: float) -> bool:
        return self.expires is not None and self.expires <= now


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser; without a key it belongs to this computer's owner."""

    key: Key | None


class Keys:
    """All keys and sessions, in memory. Thread-safe: a read replaces the lists and never changes them."""

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.time):
        self._store = store
        self._clock = clock
        self._fields = key_fields(clock)
        self._noted: dict[str, float] = {}
        self._writer = ThreadPoolExecutor(1, "keys")
        self._reading = threading.Lock()
        self._read()

    @property
    def current(self) -> tuple[Key, ...]:
        """Every key, also the expired ones."""
        self._read_if_old()
        return tuple(map(Key.of, self._keys))

    @property
    def has_admin(self) -> bool:
        """True if there is an admin key, so that somebody can sign in from another machine."""
        self._read_if_old()
        return any(map(self._is_admin, self._keys))

    def close(self) -> None:
        self._writer.shutdown()

    # Changes

    def create(self, values: Mapping[str, object]) -> tuple[Key, str]:
        """Make a key; returns it and its secret, which is not stored. Raises InvalidFields and Conflict."""
        parsed = parse_all(self._fields, values, "A key has no field '{name}'.", spoken="'{}'".format).checked()
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        saved = SavedKey(
            name=parsed["name"],
            hash=hash_of(secret),
            hint=secret[:HINT_CHARACTERS],
            scope=parsed.get("scope") or SCOPES[0],
            models=parsed.get("models") or (),
            created=self._clock(),
            expires=parsed.get("expires"),
        )
        if not self._store.add(saved):
            raise Conflict(f"There is a key '{saved.name}' already.", "name", "name_taken")
        self._read()
        return Key.of(saved), secret

    def revoke(self, name: str, keep_an_admin: bool = False) -> Key:
        """Delete a key and the sessions that began with it.

        Raises KeyNotFound, and with `keep_an_admin` Conflict for the last admin key.
        """

        def check(gone: SavedKey, left: Sequence[SavedKey]) -> None:
            if keep_an_admin and self._is_admin(gone) and not any(map(self._is_admin, left)):
                raise Conflict(LAST_ADMIN.format(name=name), "name", "last_admin_key")

        gone = self._store.delete(name, check)
        if gone is None:
            raise KeyNotFound(name)
        self._noted.pop(name, None)
        self._read()
        return Key.of(gone)

    # Recognition

    def find(self, secret: str) -> Key | None:
        """The key of a secret, or None if there is none or it has expired. Compares with every key in constant time."""
        self._read_if_old()
        asked = hash_of(secret)
        found = [saved for saved in self._keys if hmac.compare_digest(saved.hash, asked)]
        key = Key.of(found[0]) if found else None
        if key is None or key.is_over(self._clock()):
            return None
        self._note_use(key)
        return key

    def begin_session(self, key: str | None) -> str:
        """Sign a browser in by a key's name, or with None as this computer's owner; returns the cookie's secret."""
        secret, now = secrets.token_urlsafe(SECRET_BYTES), self._clock()
        saved = SavedSession(hash_of(secret), key, now + SESSION_SECONDS)
        self._store.add_session(saved, now)
        self._read()
        return secret

    def session(self, secret: str) -> Session | None:
        """The session of a cookie; None once the session or its key has expired."""
        self._read_if_old()
        asked, now = hash_of(secret), self._clock()
        found = [each for each in self._sessions if hmac.compare_digest(each.hash, asked)]
        if not found or found[0].expires <= now:
            return None
        if found[0].key is None:
            return Session(None)
        key = next((Key.of(saved) for saved in self._keys if saved.name == found[0].key), None)
        if key is None or key.is_over(now):
            return None
        self._note_use(key)
        return Session(key)

    def end_session(self, secret: str) -> None:
        self._store.delete_session(hash_of(secret))
        self._read()

    def _is_admin(self, saved: SavedKey) -> bool:
        """True if the key has the scope 'admin' and has not expired."""
        key = Key.of(saved)
        return key.scope == "admin" and not key.is_over(self._clock())

    # The database

    def _read_if_old(self) -> None:
        if time.monotonic() - self._read_at >= READ_AGAIN_SECONDS:
            self._read()

    def _read(self) -> None:
        """Read all keys and sessions. The lock keeps an older read, with a revoked key, from replacing a newer one."""
        with self._reading:
            self._read_at = time.monotonic()
            self._keys, self._sessions = self._store.load()

    def _note_use(self, key: Key) -> None:
        """Store when the key was used, at most once a minute and on another thread."""
        now = self._clock()
        if now - max(self._noted.get(key.name, 0.0), key.used or 0.0) >= USE_NOTED_SECONDS:
            self._noted[key.name] = now
            self._writer.submit(self._write_use, key.name, now)

    def _write_use(self, name: str, now: float) -> None:
        try:
            self._store.note_use(name, now)
        except FAILURES as error:
            log.warning("the use of key %s could not be noted: %s", name, error)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _written(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def key_fields(clock: Callable[[], float]) -> Mapping[str, Field]:
    """The fields of a new key; a lifetime in seconds begins at the time of `clock`."""
    return MappingProxyType(
        {
            "name": Field(
                "Name",
                "Whom the audit names.",
                "text",
                pattern=NAME,
                required=NAME_WANTED,
                wanted=NAME_WANTED,
                check=_refuse_taken,
            ),
            "scope": Field(
                "Scope", "Only what is under /v1, or everything.", "choice", choices=SCOPES, default=SCOPES[0]
            ),
            "expires": Field(
                "Expires",
                "Seconds from now, or a date or time in ISO 8601; left out, it lasts for ever.",
                "moment",
                read=partial(_expiry, clock),
            ),
            "models": Field(
                "Models",
                "The only names it may ask for; left out, all.",
                "names",
                longest=MOST_MODELS,
                unit="names of models or profiles",
                check=_refuse_long_model,
            ),
        }
    )


def _refuse_taken(name: str) -> None:
    if name.lower() in TAKEN:
        raise ValueError(f"must not be one of {', '.join(TAKEN)}: they mean somebody else in the audit")


def _refuse_long_model(name: str) -> None:
    if len(name) > LONGEST_MODEL:
        raise ValueError("must hold names of models or profiles")


def _expiry(clock: Callable[[], float], raw: object) -> float:
    """Seconds since 1970 for a date, a time or a number of seconds from now; a date means the end of that day."""
    now = clock()
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError("must be a date, a time, or a number of seconds from now")
    moment = _moment(raw) if isinstance(raw, str) else _from_now(raw, now)
    if moment <= now:
        raise ValueError("must lie in the future")
    if moment - now > LONGEST_SECONDS:
        raise ValueError("must lie within ten years")
    return moment


def _from_now(seconds: float, now: float) -> float:
    if isinstance(seconds, float) and not math.isfinite(seconds):
        raise ValueError("must be a finite number of seconds")
    return now + min(seconds, LONGEST_SECONDS + 1)


def _moment(text: str) -> float:
    """Seconds since 1970 for an ISO date or time; without an offset it is local time."""
    try:
        if len(text) == len("2027-01-31"):
            return datetime.combine(date.fromisoformat(text), time_of_day.max).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError("must be like 2027-01-31 or 2027-01-31T12:00:00Z, or a number of seconds from now") from error
