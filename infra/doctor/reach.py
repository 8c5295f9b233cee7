"""domain and outbound: whether the world finds this machine, and whether this machine finds the world."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from infra.doctor.findings import check, failure, info, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.doctor.findings import Finding
    from infra.doctor.site import Site

HINT = (
    "a change of DNS needs up to 24 to 48 hours to be seen everywhere, less with a TTL of 300: set that before you "
    "change the record; what the world sees is shown by: dig +short"
)
LOCAL = ("localhost", "localhost.localdomain")
# Where certificates come from, asked on both ports that the outside has to be reached by.
OUTSIDE = (("letsencrypt.org", 80), ("acme-v02.api.letsencrypt.org", 443))
CONNECT_SECONDS = 5.0
# Loopback and Docker's bridges; and what only a router in front leads to.
INNER = ("127.0.0.0/8", "172.16.0.0/12")
PRIVATE = ("10.0.0.0/8", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.IGNORECASE)


@check("domain")
def domain(site: Site) -> Iterator[Finding]:
    """DOMAIN leads to this machine, so that a certificate can be had."""
    name, tls = site.settings.domain, site.settings.tls
    if not name:
        yield failure(
            "DOMAIN is not set", "write DOMAIN=api.example.org into .env; a subdomain and a root domain both do"
        )
        return
    if tls != "auto":
        yield info(f"LAUNCHDB_TLS is {tls}: nobody asks who {name} is", subject=name)
        return
    refused = _refused(name)
    if refused:
        yield failure(refused, "set DOMAIN to a public name, or LAUNCHDB_TLS to internal or off", subject=name)
        return
    found, here = site.resolve(name), _addresses(site)
    record = f"make an A record of {name} with this server's address"
    if not found:
        yield failure(f"{name} has no address", f"{record}; {HINT} {name}", subject=name)
    elif set(found) & here:
        yield ok(f"{name} is {', '.join(found)}, which is this server", name)
    elif here and all(_within(one, PRIVATE) for one in here):
        said = f"{name} is {', '.join(found)}; this server has private addresses only ({', '.join(sorted(here))})"
        yield warning(said, "see that the router in front of it passes 80 and 443 on", subject=name)
    else:
        said = f"{name} is {', '.join(found)}, and this server is {', '.join(sorted(here)) or 'unknown'}"
        yield failure(said, f"{record}; {HINT} {name}", subject=name)


@check("outbound", asked=True)
def outbound(site: Site) -> Iterator[Finding]:
    """The outside is reached by HTTP, HTTPS and, where mail is sent, by the mail server's port."""
    mail = site.settings.smtp_host
    for host, port in (*OUTSIDE, *([(mail, site.settings.smtp_port)] if mail else [])):
        yield can_connect(host, port)


def can_connect(host: str, port: int, seconds: float = CONNECT_SECONDS) -> Finding:
    """Return whether a connection can be opened to that port."""
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return ok(f"{where} answers", where)
    except OSError as error:
        remedy = f"let connections to port {port} out, here (ufw default allow outgoing) and at the provider's firewall"
        return failure(f"{where} cannot be reached ({error.strerror or error})", remedy, subject=where)


def _refused(name: str) -> str:
    """Return why no authority certifies this name; empty when one may."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    if name.lower() in LOCAL or name.lower().endswith(".localhost") or (address is not None and address.is_loopback):
        return f"{name} means every machine itself, so no certificate authority can prove that it is yours"
    if address is not None:
        return f"{name} is an address; certificates are for names"
    return "" if _HOST.fullmatch(name) else f"{name} is no name that DNS can have"


def _addresses(site: Site) -> set[str]:
    """Return the IPv4 addresses of this machine's interfaces, but for loopback and Docker's networks."""
    found, held = set(), ""
    for line in (site.text("proc/net/fib_trie") or "").splitlines():
        if "|--" in line:
            held = line.split("|--")[1].strip()
        elif "/32 host LOCAL" in line:
            found.add(held)
    return {address for address in found if not _within(address, INNER)}


def _within(address: str, networks: tuple[str, ...]) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)
