"""host.*: who can come in: the firewall, SSH, and ports that nobody outside may reach."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infra.doctor.findings import check, failure, ok, warning
from infra.errors import InfraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.doctor.findings import Finding
    from infra.doctor.site import Site

ALLOWED = ("22", "80", "443")
# Postgres, PgBouncer, Redis, the manager, Docker: on loopback or an inner network alone.
INNER = {5432: "Postgres", 6432: "PgBouncer", 6379: "Redis", 9000: "the manager", 2375: "Docker"}
LISTENS = "0A"
OTHER_PORT = " (and the port of SSH first, if it is another)"
_RULE = re.compile(r"^### tuple ### (?:allow|limit) (\w+) (\S+) \S+ \S+ \S+ in", re.MULTILINE)
LOOPBACK = ("127.", "[::1]", "::1")


@check("host.firewall")
def firewall(site: Site) -> Iterator[Finding]:
    """Nothing comes in but 22, 80 and 443."""
    config, defaults = site.text("etc/ufw/ufw.conf"), site.text("etc/default/ufw") or ""
    rules = site.text("etc/ufw/user.rules") or site.text("lib/ufw/user.rules") or ""
    remedy = " && ".join(["ufw default deny incoming", *(f"ufw allow {port}/tcp" for port in ALLOWED), "ufw enable"])
    if config is None:
        yield failure(
            "ufw is not installed", f"scripts/install does it, or: apt-get install ufw && {remedy}{OTHER_PORT}"
        )
        return
    if not re.search(r"(?im)^ENABLED\s*=\s*yes", config):
        yield failure("ufw is not enabled", f"scripts/install does it, or: {remedy}{OTHER_PORT}")
        return
    policy = dict(re.findall(r'(?m)^DEFAULT_(INPUT|OUTPUT)_POLICY="?(\w+)', defaults))
    if policy.get("INPUT", "DROP") not in ("DROP", "REJECT"):
        yield failure("ufw lets in what no rule names", "ufw default deny incoming", subject="incoming")
    if policy.get("OUTPUT", "ACCEPT") != "ACCEPT":
        yield failure("ufw lets nothing out that no rule names", "ufw default allow outgoing", subject="outgoing")
    open_ports = {port for protocol, ports in _RULE.findall(rules) if protocol != "udp" for port in ports.split(",")}
    lacking = [port for port in ALLOWED if port not in open_ports]
    if lacking:
        remedy = " && ".join(f"ufw allow {port}/tcp" for port in lacking)
        yield failure(f"ufw does not let in {', '.join(lacking)}", remedy, subject="allowed")
    more = sorted(open_ports - set(ALLOWED))
    if more:
        yield warning(
            f"ufw also lets in {', '.join(more)}", "ufw delete allow PORT, if nobody needs it", subject="more"
        )
    if not lacking:
        yield ok("ufw is enabled and lets in 22, 80 and 443")


@check("host.ssh")
def ssh(site: Site) -> Iterator[Finding]:
    """SSH takes keys and no passwords."""
    words = _sshd(site)
    if words is None:
        yield ok("there is no SSH server")
        return
    if words.get("pubkeyauthentication", "yes") == "no":
        yield failure("SSH takes no keys", "PubkeyAuthentication yes, in /etc/ssh/sshd_config", subject="keys")
    else:
        yield ok("SSH takes keys", "keys")
    if words.get("passwordauthentication", "yes") == "no":
        yield ok("SSH takes no passwords", "passwords")
    else:
        remedy = "PasswordAuthentication no, in /etc/ssh/sshd_config, once your key works; then systemctl reload ssh"
        yield failure("SSH takes passwords", remedy, subject="passwords")


@check("host.ports")
def public_ports(site: Site) -> Iterator[Finding]:
    """Nothing of ours that belongs inside listens on an address that others reach."""
    seen = {*_listening(site), *_published(site)}
    bad = sorted({(port, address) for address, port in seen if port in INNER and not address.startswith(LOOPBACK)})
    for port, address in bad:
        remedy = f"publish {port} on 127.0.0.1 or not at all; whoever listens there is shown by: ss -ltnp"
        yield failure(f"{INNER[port]} can be reached at {address}:{port}", remedy, subject=str(port))
    if not bad:
        yield ok(f"none of {', '.join(map(str, INNER))} can be reached from outside")


def _sshd(site: Site) -> dict[str, str] | None:
    """Return what counts for every client: of each word the first value, files included where they are named."""
    main = site.text("etc/ssh/sshd_config")
    if main is None:
        return None
    text = ""
    for line in main.splitlines():
        included = re.match(r"(?i)\s*include\s+(?:/etc/ssh/)?(\S+)", line)
        files = sorted((site.root / "etc/ssh").glob(included[1])) if included else []
        text += "".join(path.read_text(errors="replace") + "\n" for path in files) if included else line + "\n"
    words: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name.lower() == "match":
            break
        if name and not name.startswith("#"):
            words.setdefault(name.lower(), value.strip().lower())
    return words


def _listening(site: Site) -> Iterator[tuple[str, int]]:
    for file in ("proc/net/tcp", "proc/net/tcp6"):
        for line in (site.text(file) or "").splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == LISTENS:
                address, port = local.rsplit(":", 1)
                yield _address(address), int(port, 16)


def _address(digits: str) -> str:
    """Return an address of /proc/net as people write it, in IPv6 only as far as it matters here."""
    if len(digits) == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(digits)))
    if digits == "0" * 24 + "01000000":
        return "[::1]"
    if digits.startswith("0" * 16 + "FFFF0000"):  # an IPv4 address within IPv6
        return _address(digits[24:])
    return "[::]" if digits == "0" * 32 else f"[{digits}]"


def _published(site: Site) -> Iterator[tuple[str, int]]:
    """Return what Docker forwards: without its proxy, nobody listens and it is reached all the same."""
    try:
        found = site.containers()
    except InfraError:
        return
    for binding in (binding for one in found if one.state == "running" for binding in one.ports):
        address, _, port = binding.rpartition(":")
        if port.isdigit():
            yield address, int(port)
