"""Who has signed in on this computer: cookies that a key in the data folder vouches for. Knows no HTTP.

The key outlives the server, so a restart signs nobody out; deleting it signs everybody out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from pathlib import Path

GOOD_FOR_SECONDS = 90 * 86_400
KEY_BYTES = 32
_COOKIE = re.compile(r"(?P<issued>\d{1,12})\.(?P<nonce>[0-9a-f]{16})\.(?P<seal>[0-9a-f]{64})")


class Sessions:
    def __init__(self, key_file: Path):
        self.first_start = not key_file.exists()
        self._key = _key_in(key_file)
        # Browsers send cookies to every port of a host: two Hearths must not overwrite each other's.
        self.cookie_name = f"hearth-{hashlib.sha256(self._key).hexdigest()[:8]}"

    def issue(self) -> str:
        claim = f"{int(time.time())}.{secrets.token_hex(8)}"
        return f"{claim}.{self._seal(claim)}"

    def holds(self, cookie: str) -> bool:
        """Whether we issued it, and not too long ago."""
        match = _COOKIE.fullmatch(cookie)
        if match is None:
            return False
        claim = f"{match['issued']}.{match['nonce']}"
        age_seconds = time.time() - int(match["issued"])
        return hmac.compare_digest(self._seal(claim), match["seal"]) and age_seconds < GOOD_FOR_SECONDS

    def _seal(self, claim: str) -> str:
        return hmac.new(self._key, claim.encode(), "sha256").hexdigest()


def _key_in(file: Path) -> bytes:
    """The key, made when it is missing or no key; readable by its owner alone from the first moment."""
    try:
        key = file.read_bytes()
        if len(key) == KEY_BYTES:
            return key
    except FileNotFoundError:
        pass
    key = secrets.token_bytes(KEY_BYTES)
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        written.write(key)
    draft.replace(file)
    return key
