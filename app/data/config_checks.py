"""What an option of the data API may be set to. What cannot work is refused, with the name of the option."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.data import claim_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Names of before, as PostgREST still takes them.
ALIASES = {
    "db-schema": "db-schemas", "max-rows": "db-max-rows", "pre-request": "db-pre-request", "root-spec": "db-root-spec",
    "role-claim-key": "jwt-role-claim-key", "secret-is-base64": "jwt-secret-is-base64",
    "db-pool-timeout": "db-pool-max-idletime",
}  # fmt: skip
CHECK = "Check your configuration."
CHOICES = {
    "client-error-verbosity": (("minimal", "verbose"), f"Invalid client-error-verbosity. {CHECK}"),
    "db-tx-end": (
        ("commit", "commit-allow-override", "rollback", "rollback-allow-override"),
        f"Invalid transaction termination. {CHECK}",
    ),
    "log-level": (("crit", "error", "warn", "info", "debug"), f"Invalid logging level. {CHECK}"),
    "openapi-mode": (("follow-privileges", "ignore-privileges", "disabled"), f"Invalid openapi-mode. {CHECK}"),
}
NEVER_SERVED = ("pg_catalog", "information_schema")
SECRET_LENGTH_MIN = 32
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")


def fault_of(values: Mapping[str, str]) -> str:
    """Return why these options cannot work, or nothing. Values that are secret are not said."""
    for name, (allowed, said) in CHOICES.items():
        if values.get(name, "") not in ("", *allowed):
            return f"{name}: {said}"
    for name, check in _CHECKS.items():
        if values.get(name) and (said := check(values[name])):
            return f"{name}: {said}"
    port = values.get("admin-server-port")
    if port and port == (values.get("server-port") or "3000"):
        return "admin-server-port cannot be the same as server-port"
    return _secret(values.get("jwt-secret", ""), is_base64=values.get("jwt-secret-is-base64", "").lower() == "true")


def _mode(text: str) -> str:
    if not re.fullmatch(r"[0-7]+", text):
        return "not an octal"
    return "" if 0o600 <= int(text, 8) <= 0o777 else "needs to be between 600 and 777"


def _schemas(text: str) -> str:
    refused = [name for name in (part.strip() for part in text.split(",")) if name in NEVER_SERVED]
    return f"db-schemas does not allow schema: '{refused[0]}'" if refused else ""


def _audience(text: str) -> str:
    good = ":" not in text or _URI.fullmatch(text)
    return "" if good else "jwt-aud should be a string or a valid URI"


def _claim(text: str) -> str:
    return "" if claim_path.is_path(text) else f"failed to parse role-claim-key value ({text})"


def _proxy(text: str) -> str:
    try:
        proxy = urlsplit(text)
        good = proxy.scheme in ("http", "https") and proxy.hostname and (proxy.port is None or proxy.port > 0)
    except ValueError:
        good = False
    return "" if good else "Malformed proxy uri, a correct example: https://example.com:8443/basePath"


def _port(text: str) -> str:
    good = text.isascii() and text.isdigit() and int(text) < 65536
    return "" if good else "must be a number from 0 to 65535"


def _secret(text: str, *, is_base64: bool) -> str:
    """Return why a secret is none: a text that is too short, or no base64. A key set is looked at where it is used."""
    if not text or text.startswith("@") or text.lstrip().startswith("{"):
        return ""
    raw = text.encode("utf-8", "surrogateescape")
    if is_base64:
        try:
            raw = base64.b64decode(text.strip().translate(str.maketrans("-_.", "+/=")), validate=True)
        except ValueError:
            return "jwt-secret: is no base64, as jwt-secret-is-base64 says"
        if raw.lstrip().startswith(b"{"):
            return ""
    return "" if len(raw) >= SECRET_LENGTH_MIN else "jwt-secret: The JWT secret must be at least 32 characters long."


_CHECKS: dict[str, Callable[[str], str]] = {
    "server-unix-socket-mode": _mode, "admin-server-unix-socket-mode": _mode, "db-schemas": _schemas,
    "jwt-aud": _audience, "jwt-role-claim-key": _claim, "openapi-server-proxy-uri": _proxy, "server-port": _port,
    "admin-server-port": _port,
}  # fmt: skip
