"""Makes and checks ids: proj_ + 16 hex; the others a time-ordered UUIDv7 in hex, so that lists sort by age."""

from __future__ import annotations

import re
import secrets
from typing import Literal

import uuid_utils

Timed = Literal["job", "bkp", "own", "tok", "mail", "key"]
_PROJECT = re.compile(r"proj_[0-9a-f]{16}")
_TIMED = re.compile(r"(job|bkp|own|tok|mail|key)_[0-9a-f]{32}")


def new_project_id() -> str:
    """Return an id that tells nothing about its project: 64 random bits."""
    return f"proj_{secrets.token_hex(8)}"


def new_id(prefix: Timed) -> str:
    """Return a time-ordered id."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def is_project_id(text: str) -> bool:
    """Return whether this is the form of a project id; full match, ASCII only."""
    return _PROJECT.fullmatch(text) is not None


def is_id(prefix: Timed, text: str) -> bool:
    """Return whether this is the form of an id with that prefix."""
    return _TIMED.fullmatch(text) is not None and text.startswith(f"{prefix}_")
