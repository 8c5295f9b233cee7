"""What there is outside, against what there should be: all that lies outside of projects, and their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from catalog import secrets
from catalog.ids import is_project_id
from catalog.project_states import SETTLED
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.composition import Infra
    from infra.postgres.database import Transaction

SQL = statements(__file__)
Verdict = Literal["owned", "orphan", "missing"]


@dataclass(frozen=True, order=True)
class InventoryItem:
    """One thing that bears our label, or should be there.

    owned    a project that is not deleted has it, or an open job is about to see to it
    orphan   no project has it and no job will see to it
    missing  the ledger says that it is present, or a live project needs it, and it is not there
    """

    kind: str
    name: str
    project_id: str
    verdict: Verdict


def take_inventory(tx: Transaction, infra: Infra) -> list[InventoryItem]:
    """Return every thing with its verdict, sorted. Only what bears our label is listed, whoever may share the server.

    Raises Unavailable.
    """
    # What is seen is read first: a thing made later than the catalogue was read would look like an orphan.
    seen = {(kind, name): project for kind, name, project in _seen(tx, infra)}
    status = {row["id"]: row["status"] for row in tx.rows(SQL.projects)}
    busy = {row["project_id"] for row in tx.rows(SQL.open_jobs)}
    things = [
        InventoryItem(
            kind, name, project, "owned" if status.get(project, "deleted") != "deleted" or project in busy else "orphan"
        )
        for (kind, name), project in seen.items()
    ]
    wanted = {(row["kind"], row["name"]): row["project_id"] for row in tx.rows(SQL.ledger) if row["state"] == "present"}
    wanted |= {("secrets", project): project for project, state in status.items() if state in SETTLED}
    things += [
        InventoryItem(kind, name, project, "missing")
        for (kind, name), project in wanted.items()
        if (kind, name) not in seen and project not in busy
    ]
    return sorted(things)


def of_project(things: list[InventoryItem], project_id: str) -> list[InventoryItem]:
    """Return what belongs to one project."""
    return [thing for thing in things if thing.project_id == project_id]


def _seen(tx: Transaction, infra: Infra) -> Iterator[tuple[str, str, str]]:
    for labelled in infra.databases.list_labelled():
        yield labelled.kind, labelled.name, labelled.project_id
    for entry in infra.pooler.served():
        if is_project_id(entry.database):
            yield "pooler", entry.database, entry.database
    for instance in infra.instances.list():
        yield "instance", instance.id, instance.project_id
    for service, served in (("auth", infra.auth.list()), ("storage", infra.storage.list())):
        yield from ((service, project, project) for project in served)
    for scope in secrets.scopes(tx):
        if is_project_id(scope):
            yield "secrets", scope, scope
