"""Where a request comes from: its peer, or what trusted proxies wrote of it."""

from __future__ import annotations

import ipaddress
from functools import cache


def client_address(peer: str, forwarded: str, trusted_proxies: str) -> str:
    """Return the address a request comes from; `forwarded` counts only as far as trusted proxies wrote it.

    peer             who has connected
    forwarded        the values of X-Forwarded-For, with commas between
    trusted_proxies  addresses or networks, with commas between
    """
    address = peer or "local"
    trusted = _networks(trusted_proxies)
    for hop in reversed(forwarded.split(",") if trusted else []):
        if not _inside(address, trusted) or not _is_address(hop.strip()):
            break
        address = hop.strip()
    return address


@cache
def _networks(trusted: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in trusted.split(",") if part.strip())


def _inside(address: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
