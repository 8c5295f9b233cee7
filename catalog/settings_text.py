"""Texts among a project's settings: what each kind of them may look like. Every function raises ValueError."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from catalog.mail_templates.placeholders import check_html, placeholders

T = TypeVar("T", bound=list[str])

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)$")
_ORIGIN = re.compile(rf"https?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?")
_REDIRECT = re.compile(r"([a-z][a-z0-9+.-]*)://([!-.0-\[\]^-~]*)(/[!-\[\]^-~]*)?")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}")
_HIDDEN = frozenset({"auth", "launchdb", "information_schema"})
_OURS = frozenset({"localhost", "local", "internal", "localdomain"})
_SCRIPTS = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})
_WAYS_IN = ("ConfirmationURL", "Token", "TokenHash")
_CODES = ("Token",)


def distinct(values: T) -> T:
    """Refuse a list that names something twice."""
    if len(set(values)) != len(values):
        raise ValueError("names something twice")
    return values


def origin(value: str) -> str:
    """Return an origin as browsers send it: scheme, host and port, nothing after it."""
    found = _ORIGIN.fullmatch(value)
    if found is None or value != value.lower() or (found[1] and not 0 < int(found[1]) < 65_536):
        raise ValueError(
            "must be an origin as browsers send it: https://app.example.org, in lower case, without a path"
        )
    return value


def site(value: str) -> str:
    """Return the address of the application, or nothing."""
    if value and (redirect(value).partition("://")[0] not in ("http", "https") or "*" in value):
        raise ValueError("must be an address that begins with https:// or http://")
    return value


def redirect(value: str) -> str:
    """Return an address that Auth may send people to; `*` stands for any text in a host's first part or in the path."""
    found = _REDIRECT.fullmatch(value)
    if found is None or found[1] in _SCRIPTS or "\\" in value:
        raise ValueError("must be an address such as https://app.example.org/welcome or myapp://callback")
    if found[1] in ("http", "https") and not _names_a_host(value):
        raise ValueError("must name its host; * may stand for the first part of one: https://*.example.org/**")
    return value


def _names_a_host(value: str) -> bool:
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    # What stands before an @ looks like the host to people, and is none.
    if "@" in parts.netloc or "?" in parts.netloc or "#" in parts.netloc:
        return False
    first, _, rest = host.partition(".")
    named = rest if first == "*" else host
    return _is_host(named) and (first != "*" or "." in rest)


def host(value: str) -> str:
    """Return the name or the public address of a server, or nothing: what a tenant names is not to reach our own."""
    if value and not _is_host(value):
        raise ValueError("must be the name or the address of a host, without a scheme or a port")
    if value.lower().rpartition(".")[2] in _OURS or (_is_address(value) and not ip_address(value).is_global):
        raise ValueError("must be a host of the public network")
    return value


def domain(value: str) -> str:
    """Return a domain that credentials of browsers are for, or nothing."""
    if value and (_is_address(value) or not _is_host(value) or value != value.lower()):
        raise ValueError("must be a domain in lower case, such as example.org")
    return value


def _is_host(value: str) -> bool:
    # Resolvers also take 127.1 and 0x7f000001 for addresses: a last part like that is no name.
    return _is_address(value) or (_HOST.fullmatch(value) is not None and _NUMBER.search(value) is None)


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def address(value: str) -> str:
    """Return an e-mail address, or nothing."""
    if value and _EMAIL.fullmatch(value) is None:
        raise ValueError("must be an e-mail address")
    return value


def line(value: str) -> str:
    """Return a text of one line: a line break would begin another header of a mail."""
    if not value.isprintable():
        raise ValueError("must not contain line breaks, control or invisible characters")
    return value


def subject(value: str) -> str:
    """Return the subject of a mail."""
    placeholders(line(value))
    return value


def template(value: str) -> str:
    """Return the HTML of a mail, which has to hold a way in: the link, or a token."""
    return _with_one_of(value, check_html(value), _WAYS_IN)


def text_template(value: str) -> str:
    """Return the text of a mail, which has to hold a way in as well."""
    return _with_one_of(value, {one.name for one in placeholders(value)}, _WAYS_IN)


def code_template(value: str) -> str:
    """Return the HTML of a mail that brings a code."""
    return _with_one_of(value, check_html(value), _CODES)


def code_text_template(value: str) -> str:
    """Return the text of a mail that brings a code."""
    return _with_one_of(value, {one.name for one in placeholders(value)}, _CODES)


def _with_one_of(value: str, found: set[str], wanted: tuple[str, ...]) -> str:
    if not found.intersection(wanted):
        raise ValueError(f"must contain {' or '.join(f'{{{{ .{name} }}}}' for name in wanted)}")
    return value


def schema(value: str) -> str:
    """Return the name of a schema that may be exposed."""
    if _SCHEMA.fullmatch(value) is None:
        raise ValueError("must be the name of a schema: letters, digits, underscores, hyphens and $")
    if value.lower() in _HIDDEN or value.lower().startswith("pg_"):
        raise ValueError("is a schema that is never exposed")
    return value
