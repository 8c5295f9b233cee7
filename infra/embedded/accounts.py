"""Whom Postgres runs as when we were started as root, and which folders that account can reach."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

from infra.errors import Refused
from infra.pipeline import Account

if TYPE_CHECKING:
    from pathlib import Path

# Postgres refuses root, and initdb an account without a name. An account of its own is made by the installer only;
# `postgres` is there where Debian's server is, `nobody` everywhere.
CANDIDATES = ("launchdb", "postgres", "nobody")


def service_account() -> Account | None:
    """Return the unprivileged account for the servers; None unless we are root. Raises Refused when there is none."""
    if os.geteuid() != 0:
        _ensure_named(os.geteuid())
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise Refused(f"Postgres cannot run as root, and none of the accounts {', '.join(CANDIDATES)} exists")


def _ensure_named(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise Refused(f"Postgres needs an account with a name, and user {uid} has no line in /etc/passwd") from None


def account_of(path: Path) -> Account:
    """Return the owner of a folder."""
    found = path.stat()
    return Account(found.st_uid, found.st_gid)


def reachable(path: Path, account: Account | None) -> bool:
    """Return whether the account can pass through every folder above `path`, as far as they exist."""
    if account is None:
        return True
    return all(_passes(parent, account) for parent in path.parents if parent.exists())


def _passes(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
