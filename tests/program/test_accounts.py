"""Who else may log in here."""

from __future__ import annotations

import pwd

from webapp.program.accounts import others


def account(name: str, uid: int, shell: str = "/bin/bash") -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", f"/home/{name}", shell))


def test_people_and_not_programs() -> None:
    accounts = [
        account("root", 0), account("www", 33, "/usr/sbin/nologin"), account("anna", 1000), account("ben", 1001),
        account("cy", 1002, "/bin/false"), account("_helper", 1003), account("nobody", 65_534, "/usr/sbin/nologin"),
    ]  # fmt: skip
    assert others(accounts, me=1000) == ["ben"]
    assert others(accounts, me=1001) == ["anna"]
    assert others([account("anna", 1000)], me=1000) == []


def test_this_computer_s_accounts_can_be_read() -> None:
    accounts = pwd.getpwall()
    assert accounts and set(others()) <= {account.pw_name for account in accounts}
