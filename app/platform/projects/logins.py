"""A project's own logins, while their passwords may be changed: no request fails because of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from catalog import names, secrets
from infra.errors import LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.composition import Infra

T = TypeVar("T")


def with_project_login(infra: Infra, project_id: str, login: str, act: Callable[[str], T]) -> T:
    """Return what `act` makes of the URI by which a login reaches its project.

    A password that is refused may just be changed: then the one that is coming is tried, and once that is in force, it.
    Raises SecretMissing for a project that has no secrets (any more), and what `act` raises.
    """
    for coming in (False, True):
        try:
            return act(_uri(infra, project_id, login, coming=coming))
        except LoginRefused:
            continue
    return act(_uri(infra, project_id, login, coming=False))


def _uri(infra: Infra, project_id: str, login: str, *, coming: bool) -> str:
    name = names.password(login)
    with infra.database.autocommit() as tx:
        known = secrets.read_all(tx, infra.vault, project_id)
    if name not in known:
        raise secrets.SecretMissing(f"{project_id} has no secret {name}")
    return infra.databases.uri(names.database(project_id), login, known.wanted(name) if coming else known[name])
