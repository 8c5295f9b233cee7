"""The folder of secrets that each service's container mounts as its own: copies of what that service is given.

A file under a mount of its own would stay the old one when it is replaced, so folders are mounted; and what is in none
of them cannot be read, whatever runs there. Whoever changes `secrets/` deals it out again before that is in force.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from infra import files
from infra.secrets import secret_changes, secretfiles
from infra.secrets.services import PGPASS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infra.secrets.services import ServiceSecrets

FOLDER = "services"


def deal_out(secrets: Path, *, coming: Mapping[str, str] | None = None, owner: tuple[int, int] | None = None) -> bool:
    """Ensure that each service's folder, and the secrets' own, hold exactly what is given; return whether they did not.

    Where there are no such folders, all services are one account.

    coming  values that are about to be in force, by file: services take them from now on, and show them to nobody
    owner   whose the files are to be; None: ours

    Raises Refused.
    """
    services = secrets.parent / FOLDER
    if not services.is_dir():
        return False
    changed = False
    secretfiles.ensure_own(secrets, owner=owner)
    for service, given in SERVICES.items():
        folder = secrets if given.everything else services / service
        wanted = {PGPASS: _pgpass(secrets, given.logins)} if given.logins else {}
        if not given.everything:
            wanted |= _copies(secrets, given, coming or {})
            _remove_others(folder, wanted)
        for name, text in wanted.items():
            if not files.holds(folder / name, text):
                files.replace(folder / name, text, owner=owner)
                changed = True
    return changed


def _copies(secrets: Path, given: ServiceSecrets, coming: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in given.files:
        # First what is good besides: at no moment is there a reader for whom the old value has ended.
        found[f"{name}.previous"] = "".join(f"{coming[name]}\n" for _ in [0] if name in coming)
        found[f"{name}.previous"] += files.read(secrets / f"{name}.previous")
        found[name] = files.read(secrets / name)
    if "LAUNCHDB_MASTER_KEY" in given.files:  # it tells operators how all secrets stand
        found[secret_changes.IDS] = json.dumps(secret_changes.describe_secrets(secrets), sort_keys=True) + "\n"
    return {name: text for name, text in found.items() if text}


def _remove_others(folder: Path, wanted: Mapping[str, str]) -> None:
    with files.translate_os_errors(folder):
        for path in folder.iterdir():
            # Another who deals out may be about to give a file its name.
            if path.name not in wanted and not path.name.startswith("."):
                with suppress(FileNotFoundError):
                    path.unlink()


def _pgpass(secrets: Path, logins: Mapping[str, str]) -> str:
    """Return the passwords as libpq finds them by itself: they stand in no URI, argument or environment."""
    lines = []
    for login, file in logins.items():
        password = secretfiles.current(secrets, file).replace("\\", "\\\\").replace(":", "\\:")
        lines.append(f"*:*:*:{login}:{password}\n")
    return "".join(lines)
