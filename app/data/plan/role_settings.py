"""Settings that each request of a role begins with, as the catalogue keeps them."""

from __future__ import annotations

import json
from typing import Any


def role_settings(entries: list[list[str]], own: str | None) -> dict[str, dict[str, str]]:
    """Return the settings of each role: what ALTER ROLE has set, and what a project's owner has, which comes first."""
    found: dict[str, dict[str, str]] = {}
    for role, setting in entries:
        name, _, value = setting.partition("=")
        found.setdefault(role, {})[name] = value
    for role, settings in _owners_settings(own).items():
        found[role] = found.get(role, {}) | {name: str(value) for name, value in settings.items()}
    return found


def _owners_settings(text: str | None) -> dict[str, dict[str, Any]]:
    """Return what an owner has set for roles; anything else in that place is nothing, for anybody may write there."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    known = found if isinstance(found, dict) else {}
    return {role: settings for role, settings in known.items() if isinstance(settings, dict)}
