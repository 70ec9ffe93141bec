"""The one place that reads a key or a cookie and decides what its bearer may do. Knows no Flask and no database.

If Hearth listens on this machine alone, requests need no key, though a wrong one is refused. If it listens elsewhere,
or a request names another host, only `/health` and the sign-in page with its static files need no key.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from webapp.addresses import network_of
from webapp.errors import Forbidden, NotAuthenticated, SignInRequired, TooManyAttempts
from webapp.people.keys import Key, Keys, Scope, hash_of

OPEN_PATHS = ("/health", "/login", "/sign-in")
OPEN_FOLDER = "/static/"
FOR_INFERENCE = "/v1/"
NEEDED = "A key is needed. Send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'."
WRONG = "This key is not valid: there is none like it, it was revoked, or its time is over."
NO_KEY = "none"
MOST_FAILURES = 20
FAILURES_SECONDS = 60.0
MOST_ADDRESSES = 4096


@dataclass(frozen=True, slots=True)
class Credential:
    """The secret that a request carries: that of a key, or that of a page's session."""

    key: str | None = None
    session: str | None = None

    @classmethod
    def of(cls, authorization: str, api_key: str, cookie: str | None) -> Credential:
        """Reads `Authorization: Bearer`, `x-api-key` and the cookie. Two keys that differ count as a wrong one.

        The key `none` counts as no key, as many clients insist on sending one.
        """
        scheme, _, token = authorization.strip().partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        sent = {secret for secret in (bearer, api_key.strip()) if secret not in ("", NO_KEY)}
        return cls("" if len(sent) > 1 else next(iter(sent), None), cookie or None)


@dataclass(frozen=True, slots=True)
class Visitor:
    """The sender of a request and its rights. Without a `name` it is the person at this machine."""

    name: str | None = None
    scope: Scope = "admin"
    models: tuple[str, ...] = ()
    signed_in: bool = False

    @classmethod
    def with_key(cls, key: Key, signed_in: bool = False) -> Visitor:
        return cls(key.name, key.scope, key.models, signed_in)

    def may_use(self, model: str) -> bool:
        return not self.models or model in self.models

    def may_cancel(self, owner: str | None) -> bool:
        """True if the visitor may cancel requests of this owner: its own, or with the scope 'admin' anybody's."""
        return self.scope == "admin" or (self.name is not None and self.name == owner)

    def check_model(self, model: str) -> None:
        if not self.may_use(model):
            allowed = ", ".join(self.models)
            raise Forbidden(f"This key may not use '{model}', only {allowed}.", "model_not_allowed", "model")


class Access:
    """Decides which requests Hearth admits. `exposed`: other machines reach its address. `owner_signs_in`: even on this
    machine the pages need a signed-in browser. `place` tells this Hearth from others.
    """

    def __init__(
        self,
        keys: Keys,
        exposed: bool,
        owner_signs_in: Callable[[], bool],
        place: str,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._keys = keys
        self._owner_signs_in = owner_signs_in
        self._attempts = Attempts(clock)
        self.exposed = exposed
        self.cookie_name = cookie_name(place)

    def admit(self, credential: Credential, path: str, client: str, at_home: bool) -> Visitor:
        """The visitor, if it may request `path`. `at_home`: the request used a name or address of this machine alone.

        Raises NotAuthenticated, SignInRequired, TooManyAttempts and Forbidden.
        """
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return Visitor(scope="inference")
        visitor = self._recognised(credential, client)
        if visitor is None:
            if self.exposed or not at_home:
                raise NotAuthenticated(NEEDED)
            if self._owner_signs_in() and not path.startswith(FOR_INFERENCE):
                raise SignInRequired
            return Visitor()
        if visitor.scope != "admin" and not path.startswith(FOR_INFERENCE):
            raise Forbidden("This key may only use /v1. What manages Hearth needs a key of the scope 'admin'.")
        return visitor

    @property
    def needs_sign_in(self) -> bool:
        """True if only signed-in browsers see the pages."""
        return self.exposed or self._owner_signs_in()

    def may_see_pages(self, visitor: Visitor) -> bool:
        """True if this visitor, whom `admit` returned for any path, may see the pages, too."""
        known = visitor.name is not None or visitor.signed_in
        return visitor.scope == "admin" and (known or not self.needs_sign_in)

    def is_signed_in(self, credential: Credential) -> bool:
        return credential.session is not None and self._keys.session(credential.session) is not None

    def sign_in(self, secret: str, client: str) -> str:
        """Begin a session with the secret of an admin key, and return the session's secret.

        Raises NotAuthenticated, TooManyAttempts and Forbidden.
        """
        key = self._key_of(secret, client)
        if key.scope != "admin":
            raise Forbidden("This key may only use /v1. To sign in takes a key of the scope 'admin'.")
        return self._keys.begin_session(key.name)

    def sign_out(self, credential: Credential) -> None:
        if credential.session is not None:
            self._keys.end_session(credential.session)

    def _recognised(self, credential: Credential, client: str) -> Visitor | None:
        """The visitor whom the key or session names, or None. Ignores expired sessions, and any key while none exists
        and no other machine reaches Hearth. Raises NotAuthenticated and TooManyAttempts for a wrong key."""
        if credential.key is not None and (self.exposed or self._keys.current):
            return Visitor.with_key(self._key_of(credential.key, client))
        session = self._keys.session(credential.session) if credential.session is not None else None
        if session is None:
            return None
        return Visitor.with_key(session.key, signed_in=True) if session.key else Visitor(signed_in=True)

    def _key_of(self, secret: str, client: str) -> Key:
        self._attempts.check(client)
        key = self._keys.find(secret)
        if key is None:
            self._attempts.fail(client)
            raise NotAuthenticated(WRONG)
        return key


def cookie_name(place: str) -> str:
    """A cookie name of this Hearth alone: browsers share cookies between all ports of a host."""
    return f"hearth-{hash_of(place)[:8]}"


class Attempts:
    """Counts wrong keys per client address: after 20 within a minute, every key is refused until that minute ends.

    Remembers at most `MOST_ADDRESSES` addresses and forgets the oldest first.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def check(self, client: str) -> None:
        failures, began = self._failures.get(network_of(client), (0, 0.0))
        left = began + FAILURES_SECONDS - self._clock()
        if failures >= MOST_FAILURES and left > 0:
            raise TooManyAttempts(ceil(left))

    def fail(self, client: str) -> None:
        network, now = network_of(client), self._clock()
        with self._lock:
            failures, began = self._failures.pop(network, (0, now))
            if now - began >= FAILURES_SECONDS:
                failures, began = 0, now
            self._failures[network] = (failures + 1, began)
            while len(self._failures) > MOST_ADDRESSES:
                self._failures.popitem(last=False)
