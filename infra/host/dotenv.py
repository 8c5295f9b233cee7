"""The home's `.env`: made of `.env.example`, what the machine says, what the caller gives, and fresh secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from config.deployment import EXAMPLE as EXAMPLE_VALUE
from config.installation import caller_environment, parse
from config.settings import CHECKOUT
from infra import files
from infra.errors import Refused
from infra.secrets import secretfiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXAMPLE = CHECKOUT / ".env.example"
RUNTIME = "broker"
LOCAL = "localhost"
# A Unix socket's path may have 107 characters; a project's is the longest that we make.
LONGEST_PATH = 107
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._@+-]+")
# An internationalised name is written as xn--…; an address of version 6 stands in brackets.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]")
LONGEST_SOCKET = "run/projects/proj_0123456789abcdef/api.sock"


@dataclass
class DotenvDraft:
    """A `.env` about to be written. made: secrets that are new with it."""

    text: str
    values: dict[str, str]
    secrets: dict[str, str]
    made: list[str] = field(default_factory=list)


def names_of(example: str) -> list[str]:
    """Return every variable that the example names, commented out or not."""
    return re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)


def from_environment() -> dict[str, str]:
    """Return what the caller's environment says of the variables that the example names, but for the secrets."""
    known = set(names_of(EXAMPLE.read_text())) - set(secretfiles.NAMES) - {"LAUNCHDB_HOME"}
    return {name: value for name, value in caller_environment().items() if name in known and value}


def draft_dotenv(home: Path, folder: Path, given: Mapping[str, str], machine: Mapping[str, str]) -> DotenvDraft:
    """Return the `.env` that shall be there.

    given    what the caller wants; it goes over what stands there, but never over a secret
    machine  what only this machine knows; it fills what is open

    Raises Refused with every value that is missing or still an example.
    """
    example = EXAMPLE.read_text()
    before = files.read(home / ".env")
    known = {name: value for name, value in parse(before).items() if value and not is_placeholder(name, value)}
    wanted = {name: value for name, value in given.items() if name not in secretfiles.NAMES and value}
    values = {**parse(example), **machine, **known, **wanted, "LAUNCHDB_HOME": str(home)}
    values = {name: "" if is_placeholder(name, value) else value for name, value in values.items()}
    values["LAUNCHDB_RUNTIME"] = values.get("LAUNCHDB_RUNTIME") or RUNTIME
    _reached_by(values)
    refuse_unfit(home, values)
    made, chosen = [], {}
    for name, form in secretfiles.NAMES.items():
        chosen[name] = _kept(folder, name) or known.get(name, "")
        if not chosen[name]:
            chosen[name] = secretfiles.generate(form)
            made.append(name)
    lines = {name: value for name, value in values.items() if name not in secretfiles.NAMES}
    text = before or example
    told = {**_worth_a_line(lines, text), **chosen}
    text = secretfiles.with_lines(_said(text, told), told)
    return DotenvDraft(text, values, chosen, made)


def is_placeholder(name: str, value: str) -> bool:
    """Return whether a value is only what the example shows."""
    if name in secretfiles.NAMES:
        return (
            not value or bool(EXAMPLE_VALUE.search(value)) or secretfiles.entropy_bits(value) < secretfiles.ENOUGH_BITS
        )
    return name in ("DOMAIN", "ACME_EMAIL", "SMTP_HOST", "SMTP_FROM", "RSYNC_DEST") and bool(
        EXAMPLE_VALUE.search(value)
    )


def refuse_unfit(home: Path, values: Mapping[str, str]) -> None:
    """Raise Refused, with a list, for what nobody can start with."""
    found = []
    if len(f"{home}/{LONGEST_SOCKET}") > LONGEST_PATH:
        found.append(f"LAUNCHDB_HOME is too long: {home} may have {LONGEST_PATH - len(LONGEST_SOCKET) - 1} characters")
    found += _unfit_names(home, values)
    folders = ("HOST_SCRIPT_DIR", "HOST_CONFIG_DIR")
    found += [f"{name} must be an absolute path" for name in folders if not values.get(name, "").startswith("/")]
    if values.get("LAUNCHDB_TLS") == "auto":
        if _is_local(values["DOMAIN"]):
            found.append(
                f"DOMAIN is {values['DOMAIN']}: no authority certifies it; use a name, or LAUNCHDB_TLS=internal"
            )
        if not values.get("ACME_EMAIL"):
            found.append("ACME_EMAIL is missing: the certificate authority writes there")
    if found:
        raise Refused("the installation cannot start so: " + "; ".join(found))


def _unfit_names(home: Path, values: Mapping[str, str]) -> list[str]:
    found = []
    # Mounts, URLs and Caddy's file take no others.
    if not _PLAIN_PATH.fullmatch(str(home)):
        found.append(f"LAUNCHDB_HOME may have letters, digits and any of / . _ - + @ alone, not {home}")
    if not _PLAIN_NAME.fullmatch(values.get("DOMAIN", "")):
        found.append(f"DOMAIN is a name alone, without https:// and without a port, not {values['DOMAIN']}")
    ports = [values.get(f"LAUNCHDB_{name}_PORT") or default for name, default in (("HTTP", "80"), ("HTTPS", "443"))]
    if ports[0] == ports[1]:
        found.append(f"LAUNCHDB_HTTP_PORT and LAUNCHDB_HTTPS_PORT are both {ports[0]}")
    return found


def _reached_by(values: dict[str, str]) -> None:
    """Without a name of its own an installation is for this machine alone."""
    if not values.get("DOMAIN"):
        values["DOMAIN"] = LOCAL
        values["LAUNCHDB_TLS"] = "internal" if values.get("LAUNCHDB_TLS", "auto") == "auto" else values["LAUNCHDB_TLS"]
    values.setdefault("LAUNCHDB_TLS", "auto")


def _is_local(domain: str) -> bool:
    try:
        return bool(ip_address(domain.strip("[]")))
    except ValueError:
        return domain == LOCAL or domain.endswith(".localhost")


def _kept(folder: Path, name: str) -> str:
    """Return the secret that is in force; `.env` only repeats it."""
    try:
        return secretfiles.current(folder, name)
    except Refused:
        return ""


def _said(text: str, values: Mapping[str, str]) -> str:
    """Set a variable in the line that only shows its default."""
    for name in values.keys() - parse(text).keys():
        text = re.sub(rf"(?m)^# {re.escape(name)}=.*$", f"{name}=", text, count=1)
    return text


def _worth_a_line(values: Mapping[str, str], text: str) -> dict[str, str]:
    """Leave out what stands there already, and settings that are open anyway."""
    there = parse(text)
    return {name: value for name, value in values.items() if there.get(name, "") != value}
