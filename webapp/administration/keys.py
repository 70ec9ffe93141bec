"""The desk for API keys. The command line uses it without a server."""

from __future__ import annotations

from collections.abc import Mapping

from webapp.addresses import is_loopback
from webapp.administration.act import audited, name_in
from webapp.audit.log import AuditLog
from webapp.errors import InvalidFields
from webapp.people.keys import Key, Keys

NEEDS_A_KEY = (
    "Address {host} is reached from other machines, and there is no admin key yet to keep them out. "
    "Make one first, with `hearth key create NAME --scope admin` or on the page Connect."
)


class KeyDesk:
    """Makes and revokes keys. `exposed`: other machines reach Hearth, so the last admin key must stay."""

    def __init__(self, keys: Keys, audit: AuditLog, exposed: bool):
        self._keys = keys
        self._audit = audit
        self._exposed = exposed

    def create(self, who: str, raw: Mapping[str, object]) -> tuple[Key, str]:
        """Make a key; returns it and its secret. Raises InvalidFields and Conflict."""
        with audited(self._audit, who, "keys.create", name_in(raw)) as change:
            key, secret = self._keys.create(raw)
            change.after = _in_audit(key)
        return key, secret

    def revoke(self, who: str, name: str) -> Key:
        """Delete a key. Raises KeyNotFound, and Conflict for the last admin key of an exposed Hearth."""
        with audited(self._audit, who, "keys.revoke", name[:100]) as change:
            key = self._keys.revoke(name, keep_an_admin=self._exposed)
            change.before = _in_audit(key)
        return key

    def check_host(self, host: str) -> None:
        """Raises InvalidFields if other machines can reach `host` and there is no admin key to sign in with."""
        if not is_loopback(host) and not self._keys.has_admin:
            raise InvalidFields({"host": NEEDS_A_KEY.format(host=host)})


def _in_audit(key: Key) -> dict[str, object]:
    return {"name": key.name, "scope": key.scope, "models": key.models, "expires": key.expires}
