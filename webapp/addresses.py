"""Addresses of this machine and names for it: which are its own alone, and how browsers write them."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

_NAME = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(:\d{1,5})?", re.IGNORECASE)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a request may carry. `hosts` are names, for any port, or `name:port`; `any_ip` lets all addresses pass for
    a Host; `origins` are the sites whose pages may use /v1.
    """

    hosts: Iterable[str] = LOOPBACK_NAMES
    any_ip: bool = False
    origins: Iterable[str] = ()


def an_address(text: str) -> None:
    """Something to listen on; raises ValueError."""
    if text != "localhost" and _ip(text) is None:
        raise ValueError("must be an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them")


def a_host(text: str) -> None:
    """A name for this machine, with or without a port; raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"must hold names such as hearth.example or hearth.example:10242, not '{text[:60]}'")


def an_origin(text: str) -> None:
    """Where a page comes from. Never all of them: any page could then ask in its visitor's name. Raises ValueError."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"must hold origins such as https://app.example, each by its name, not '{text[:60]}'")


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    ip = _ip(address)
    return address == "localhost" or (ip is not None and ip.is_loopback)


def host_name(address: str) -> str:
    """What a browser sends as Host for this address: IPv6 shortened and in brackets."""
    return f"[{ipaddress.ip_address(address).compressed}]" if ":" in address else address


def reachable(address: str) -> str:
    """Where programs on this machine reach who listens there: "all addresses" is none to connect to."""
    ip = _ip(address)
    if ip is None or not ip.is_unspecified:
        return address
    return "127.0.0.1" if ip.version == 4 else "::1"


def own_names() -> tuple[str, ...]:
    """What others on the network call this machine."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return tuple(dict.fromkeys((name, short, f"{short}.local")))


def is_home(host: str) -> bool:
    """Whether a Host, with or without a port, is what only this machine calls itself."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    return is_loopback(name.removeprefix("[").removesuffix("]"))


def is_ip(name: str) -> bool:
    """Whether a Host is an address and no name. What is no name cannot be rebound to another machine."""
    return _ip(name.removeprefix("[").removesuffix("]")) is not None


def among(host: str, name: str, allowed: Iterable[str]) -> bool:
    """Whether a Host is allowed, by its name for any port or by both."""
    return not {host, name}.isdisjoint(each.lower() for each in allowed)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
