"""API keys: what one may do, how one is made, and which of them a secret belongs to. Knows no HTTP.

A secret is 256 random bits, so one SHA-256 of it is enough: slow, salted hashes protect what people make up, and
nobody searches 2**256. Another process may change the database, as `hearth key create` does: it is read again every
second.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from typing import Any, Literal, cast

from webapp.errors import Conflict, InvalidFields, KeyNotFound
from webapp.store.database import FAILURES
from webapp.store.keys import KeyStore, SavedKey, SavedSession

log = logging.getLogger(__name__)

Scope = Literal["inference", "admin"]

SCOPES: tuple[Scope, ...] = ("inference", "admin")
FIELDS = ("name", "scope", "expires", "models")
PREFIX = "hearth_"
SECRET_BYTES = 32
HINT_CHARACTERS = len(PREFIX) + 4
# Others have these names in the audit.
TAKEN = ("local", "page", "api", "start", "terminal", "unknown")
MOST_MODELS = 100
LONGEST_MODEL = 512
LONGEST_SECONDS = 10 * 366 * 86_400
SESSION_SECONDS = 30 * 86_400
READ_AGAIN_SECONDS = 1.0
USE_NOTED_SECONDS = 60.0

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Key:
    """`models` are the names it may ask for; none means all. Moments in seconds since 1970."""

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
        """As programs see it."""
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
    """All keys in memory. Thread-safe: what is read is replaced, never changed."""

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.time):
        self._store = store
        self._clock = clock
        self._noted: dict[str, float] = {}
        self._writer = ThreadPoolExecutor(1, "keys")
        self._reading = threading.Lock()
        self._read()

    @property
    def current(self) -> tuple[Key, ...]:
        """Every key, also those that are over."""
        self._read_if_old()
        return tuple(map(Key.of, self._keys))

    @property
    def has_admin(self) -> bool:
        """Whether anybody could sign in from another machine."""
        return bool(self._admins())

    def is_last_admin(self, name: str) -> bool:
        """Whether nobody could sign in any more without this one."""
        return self._admins() == [name]

    def close(self) -> None:
        self._writer.shutdown()

    # Changes

    def create(self, values: Mapping[str, object]) -> tuple[Key, str]:
        """A new key and its secret, which nobody can show again. Raises InvalidFields and Conflict."""
        fields = _checked(values, self._clock())
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        saved = SavedKey(hash=hash_of(secret), hint=secret[:HINT_CHARACTERS], created=self._clock(), **fields)
        if not self._store.add(saved):
            raise Conflict(f"There is a key '{saved.name}' already.", "name", "name_taken")
        self._read()
        return Key.of(saved), secret

    def revoke(self, name: str) -> Key:
        """From now on nobody is let in with it, nor by the sessions that began with it. Raises KeyNotFound."""
        self._read()
        key = next((Key.of(saved) for saved in self._keys if saved.name == name), None)
        if key is None:
            raise KeyNotFound(name)
        self._store.delete(name)
        self._noted.pop(name, None)
        self._read()
        return key

    # Who is it

    def find(self, secret: str) -> Key | None:
        """The key of a secret, unless it is over. Compares with every key, so that time tells nothing of any."""
        self._read_if_old()
        asked = hash_of(secret)
        found = [saved for saved in self._keys if hmac.compare_digest(saved.hash, asked)]
        key = Key.of(found[0]) if found else None
        if key is None or key.is_over(self._clock()):
            return None
        self._note_use(key)
        return key

    def begin_session(self, key: str | None) -> str:
        """Sign a browser in, with the key of this name or, for None, as this computer's owner: the cookie's secret."""
        secret, now = secrets.token_urlsafe(SECRET_BYTES), self._clock()
        saved = SavedSession(hash_of(secret), key, now + SESSION_SECONDS)
        self._store.add_session(saved, now)
        self._read()
        return secret

    def session(self, secret: str) -> Session | None:
        """The session of a cookie, while it lasts and its key does."""
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

    def _admins(self) -> list[str]:
        return [key.name for key in self.current if key.scope == "admin" and not key.is_over(self._clock())]

    # What is read and written

    def _read_if_old(self) -> None:
        if time.monotonic() - self._read_at >= READ_AGAIN_SECONDS:
            self._read()

    def _read(self) -> None:
        """One at a time, or what was read before a key was revoked could replace what was read after."""
        with self._reading:
            self._read_at = time.monotonic()
            self._keys, self._sessions = self._store.load()

    def _note_use(self, key: Key) -> None:
        """Once a minute, and not while the request waits."""
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


def _checked(values: Mapping[str, object], now: float) -> dict[str, Any]:
    """Typed values for all fields. Raises InvalidFields, naming every field that does not fit."""
    fields: dict[str, Any] = {}
    errors = {name: f"A key has no field '{name}'." for name in values if name not in FIELDS}
    checks: tuple[tuple[str, Callable[[object], object]], ...] = (
        ("name", _name),
        ("scope", _scope),
        ("expires", lambda raw: _expiry(raw, now)),
        ("models", _models),
    )
    for name, check in checks:
        try:
            fields[name] = check(values.get(name))
        except ValueError as error:
            errors[name] = f"'{name}' {error}."
    if errors:
        raise InvalidFields(errors)
    return fields


def _name(raw: object) -> str:
    if not isinstance(raw, str) or not NAME.fullmatch(raw.strip()):
        raise ValueError("must be 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first")
    if raw.strip().lower() in TAKEN:
        raise ValueError(f"must not be one of {', '.join(TAKEN)}: they mean somebody else in the audit")
    return raw.strip()


def _scope(raw: object) -> Scope:
    if raw in (None, ""):
        return "inference"
    if raw not in SCOPES:
        raise ValueError(f"must be one of {', '.join(SCOPES)}")
    return raw


def _models(raw: object) -> tuple[str, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list | tuple) or len(raw) > MOST_MODELS:
        raise ValueError(f"must be a list of at most {MOST_MODELS} names of models or profiles")
    if not all(isinstance(each, str) and 0 < len(each.strip()) <= LONGEST_MODEL for each in raw):
        raise ValueError("must hold names of models or profiles")
    return tuple(dict.fromkeys(each.strip() for each in raw))


def _expiry(raw: object, now: float) -> float | None:
    """The moment that a date, a time or a number of seconds from now means; a date lasts until its end."""
    if raw is None or raw == "":
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError("must be a date, a time, or a number of seconds from now")
    moment = _moment(raw.strip()) if isinstance(raw, str) else _from_now(raw, now)
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
    """Without an offset it is the time of this machine."""
    try:
        if len(text) == len("2027-01-31"):
            return datetime.combine(date.fromisoformat(text), time_of_day.max).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError("must be like 2027-01-31 or 2027-01-31T12:00:00Z, or a number of seconds from now") from error
