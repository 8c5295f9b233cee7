"""Which addresses a tenant's server may have: those of the public network, and what the operator allows besides."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network

# Names are resolved in threads of their own: the C library knows no deadline.
_RESOLVERS = ThreadPoolExecutor(4, "resolve")
_ADDRESSES_MAX = 8
# A translator turns these into IPv4 (RFC 6052): what they stand for would be reached.
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class AddressRefused(Refused):
    """The name stands for an address that is none of the public network."""


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of a list with commas between. Raises ValueError."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address belongs to the public network, whatever other address is written in it."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in _TRANSLATED):
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def connect(
    host: str, port: int, seconds: float, allowed: Sequence[IPv4Network | IPv6Network], *, private_only: bool = False
) -> socket.socket:
    """Return a TCP connection to a host whose address was checked, which is the one that it leads to.

    seconds       for all of it
    allowed       networks that may be reached although they are not public
    private_only  only those: where nothing protects what is sent on its way

    Raises AddressRefused, Unavailable.
    """
    deadline = time.monotonic() + seconds
    refused = failed = None
    for family, where in _resolved(host, port, seconds):
        address = ip_address(where[0].partition("%")[0])
        if not (_is_among(address, allowed) or (is_public(address) and not private_only)):
            refused = AddressRefused(f"{host} is no server that may be asked")
            continue
        try:
            return _connected(family, where, deadline)
        except OSError as error:
            failed = Unavailable(f"{host} could not be reached ({type(error).__name__})")
    raise failed or refused or Unavailable(f"{host} has no address")


def _is_among(address: IPv4Address | IPv6Address, allowed: Sequence[IPv4Network | IPv6Network]) -> bool:
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    return any(plain in network for network in allowed if network.version == plain.version)


def _resolved(host: str, port: int, seconds: float) -> list[tuple[int, tuple[str, int]]]:
    asked = _RESOLVERS.submit(socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)
    try:
        found = asked.result(seconds)
    except NotInTime as error:
        raise Unavailable(f"the name {host} was not resolved in time") from error
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"the name {host} could not be resolved") from error
    return [(family, where) for family, _, _, _, where in found[:_ADDRESSES_MAX]]  # type: ignore[misc]


def _connected(family: int, where: tuple[str, int], deadline: float) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(max(0.05, deadline - time.monotonic()))
        made.connect(where)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made
