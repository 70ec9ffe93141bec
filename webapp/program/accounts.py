"""Finds the accounts of other people on this computer: anyone who can open a page here can read the chats."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterable

FIRST_PERSON = 501 if sys.platform == "darwin" else 1000
NOBODY = 65_000
NO_SHELL = ("nologin", "false", "sync")


def others(accounts: Iterable[pwd.struct_passwd] | None = None, me: int | None = None) -> list[str]:
    """The login names of other people on this computer, without the accounts of programs."""
    own = os.getuid() if me is None else me
    return sorted(
        account.pw_name
        for account in (pwd.getpwall() if accounts is None else accounts)
        if FIRST_PERSON <= account.pw_uid < NOBODY
        and account.pw_uid != own
        and not account.pw_shell.endswith(NO_SHELL)
        and not account.pw_name.startswith("_")
    )
