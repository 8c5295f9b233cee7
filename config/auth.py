"""The settings of projects' Auth that an operator has to make for all of them."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path  # noqa: TC003 - the model reads it

from pydantic import BaseModel, field_validator

from config.deployment import env


class AuthSettings(BaseModel):
    """What no owner may decide: where requests may go, and which passwords count as known."""

    auth_private_networks: str = env(
        "LAUNCHDB_AUTH_PRIVATE_NETWORKS",
        "",
        "networks, with commas between, in which OAuth providers of projects may be, although not public, also without "
        "TLS, and their mail servers; too many: an owner can ask servers that only the operator should reach",
    )
    leaked_passwords: Path | None = env(
        "LAUNCHDB_LEAKED_PASSWORDS",
        None,
        "file of SHA-1 hashes of leaked passwords, sorted, one a line; empty: a short list of common passwords",
    )

    @field_validator("auth_private_networks")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        for part in filter(None, (part.strip() for part in text.split(","))):
            ip_network(part, strict=False)
        return text
