"""Parses hosts, origins and IP addresses, and tells which of them belong to this machine alone.

Every room that reads a Host, an Origin or an address calls this module, so that all of them read it alike.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/@]+)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Host:
    """A name or an IP address with its port, in the one form in which hosts are compared.

    Names are in small letters, IPv6 is shortened and in brackets, and IPv4 mapped into IPv6 is plain IPv4.
    """

    name: str
    port: int | None = None

    @classmethod
    def of(cls, text: str) -> Host | None:
        """Parses a Host header or a setting; None if the text is no host."""
        match = _HOST.fullmatch(text)
        if match is None or int(match["port"] or 0) > 65_535:
            return None
        name = match["name"].lower()
        if name.startswith("["):
            ip = _ip(name[1:-1])
            name = "" if ip is None else host_name(str(ip))
        return cls(name, int(match["port"]) if match["port"] else None) if name else None

    @property
    def is_home(self) -> bool:
        """True for localhost and for loopback addresses, which reach nothing but this machine."""
        return is_loopback(self.name.strip("[]"))

    @property
    def is_ip(self) -> bool:
        """True for an IP address. DNS can rebind a name to another machine, but not an address."""
        return _ip(self.name.strip("[]")) is not None

    def is_among(self, allowed: Iterable[str]) -> bool:
        """True if `allowed` holds this name without a port, which stands for any port, or with this very port."""
        known = (Host.of(each) for each in allowed)
        return any(each is not None and each.name == self.name and each.port in (None, self.port) for each in known)


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a page: scheme and host. The port is always filled in if the scheme has a default one."""

    scheme: str
    host: Host

    @classmethod
    def of(cls, text: str) -> Origin | None:
        """Parses an Origin header or a setting; None if the text names no origin, as `null` does."""
        match = _ORIGIN.fullmatch(text)
        host = Host.of(match["host"]) if match else None
        if match is None or host is None:
            return None
        scheme = match["scheme"].lower()
        return cls(scheme, Host(host.name, host.port or DEFAULT_PORTS.get(scheme)))

    def is_of(self, host: Host) -> bool:
        """True if this host served the page. https counts as well: a proxy in front of Hearth may speak TLS."""
        default = DEFAULT_PORTS.get(self.scheme)
        return default is not None and self.host == Host(host.name, host.port or default)

    def is_among(self, allowed: Iterable[str]) -> bool:
        """True if one of these texts names this origin, however it is spelled."""
        return self in map(Origin.of, allowed)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The Host and Origin headers that Hearth accepts. `hosts` are names, for any port, or `name:port`; `any_ip`
    accepts every IP address as Host; `origins` are the sites whose pages may use /v1.
    """

    hosts: Iterable[str] = LOOPBACK_NAMES
    any_ip: bool = False
    origins: Iterable[str] = ()


def an_address(text: str) -> None:
    """Check an address to listen on; raises ValueError."""
    if text.lower() != "localhost" and _ip(text) is None:
        raise ValueError("must be an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them")


def a_host(text: str) -> None:
    """Check a name for this machine, with or without a port; raises ValueError."""
    host = Host.of(text)
    if host is None or not (host.is_ip or _NAME.fullmatch(host.name)):
        raise ValueError(f"must hold names such as hearth.example or hearth.example:10242, not '{text[:60]}'")


def an_origin(text: str) -> None:
    """Check an origin; raises ValueError, for `*` too: with that, any web page could send requests for its visitor."""
    if Origin.of(text) is None:
        raise ValueError(f"must hold origins such as https://app.example, each by its name, not '{text[:60]}'")


def is_loopback(address: str) -> bool:
    """True if only this machine can reach the address."""
    ip = _ip(address)
    return address.lower() == "localhost" or (ip is not None and ip.is_loopback)


def host_name(address: str) -> str:
    """The name that a browser sends as Host for this address: IPv6 is shortened and in brackets."""
    ip = _ip(address)
    if ip is None:
        return address.lower()
    return f"[{ip.compressed}]" if ip.version == 6 else str(ip)


def reachable(address: str) -> str:
    """The address at which this machine reaches a server that listens on `address`, be it 0.0.0.0 or ::."""
    ip = _ip(address)
    if ip is None or not ip.is_unspecified:
        return address
    return "127.0.0.1" if ip.version == 4 else "::1"


def own_names() -> tuple[str, ...]:
    """The names under which other machines on the network know this one."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return tuple(dict.fromkeys((name, short, f"{short}.local")))


def network_of(address: str) -> str:
    """The key by which clients are told apart: an IPv4 address, or a /64 of IPv6, as one machine may own all of it."""
    ip = _ip(address)
    if ip is None or ip.version == 4:
        return address if ip is None else str(ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parses an IP address: drops the zone of a link, and unpacks IPv4 that is mapped into IPv6. None if it is none."""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
