"""project.provision: a row of the catalogue becomes a running project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import names, secrets
from catalog import project_states as states
from infra.postgres.sql import statements
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import Step, kind
from jobs.projects.data_plane import (
    check_round_trip,
    close_data_api,
    drop_database,
    drop_roles,
    open_data_api,
    passwords,
    set_passwords,
    stored_limits,
    stored_secrets,
)
from jobs.projects.pooling import add_to_pooler, remove_from_pooler
from jobs.projects.project_secrets import secret_makers

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

SQL = statements(__file__)


def store_secrets(run: Run[ProvisionProject], tx: Transaction) -> None:
    """Make everything random now, so that each later step may run twice and still mean the same."""
    project = run.args.project_id
    secrets.store_once(tx, run.infra.vault, project, secret_makers(project, int(tx.value(SQL.now))))


def forget_secrets(run: Run[ProvisionProject]) -> None:
    """Take the secrets back."""
    with run.transaction() as tx:
        secrets.delete_all(tx, run.args.project_id)


def create_roles(run: Run[ProvisionProject]) -> None:
    """Ensure that the project has its roles, the logins with their stored passwords."""
    set_passwords(run, passwords(run.args.project_id, stored_secrets(run)))


def clone_template(run: Run[ProvisionProject]) -> None:
    """Ensure that the project has its database: a copy of the template, granted to its own roles only."""
    database = names.database(run.args.project_id)
    databases = run.infra.databases.with_limits(stored_limits(run))
    run.ledger.mark_intended("database", database)
    run.check()
    databases.ensure_database(database, names.roles(run.args.project_id), run.session)
    run.ledger.mark_present("database", database)


def mark_active(run: Run[ProvisionProject], tx: Transaction) -> None:
    """Record in the catalogue that the project can be used. Raises GiveUp when it is no longer wanted."""
    template = run.infra.databases.templates.name
    if not states.move(tx, run.args.project_id, "active", by="project.provision", template=template):
        raise GiveUp("the project was deleted meanwhile")
    run.result["projectId"] = run.args.project_id


def on_failed(args: ProvisionProject, tx: Transaction, reason: str) -> None:
    """Keep the project, with its name and the reason, for a retry or a deletion."""
    states.move(tx, args.project_id, "failed", by="project.provision failed", reason=reason)


def on_retry(args: ProvisionProject, tx: Transaction) -> None:
    """Allow a failed project to be provisioned once more. Raises JobConflict when it is in another state by now."""
    if not states.move(tx, args.project_id, "provisioning", by="project.provision retried"):
        raise JobConflict("the project is no longer waiting to be provisioned")


@kind(
    "project.provision",
    steps=(
        Step(store_secrets, atomic=True, undo=forget_secrets, title="Make secrets and keys"),
        Step(create_roles, lasting=True, undo=drop_roles),
        Step(clone_template, lasting=True, undo=drop_database, title="Create the database"),
        Step(add_to_pooler, lasting=True, undo=remove_from_pooler, title="Add to PgBouncer"),
        Step(open_data_api, lasting=True, undo=close_data_api, title="Open the data API"),
        Step(check_round_trip, title="Check a round trip"),
        Step(mark_active, atomic=True),
    ),
    on_failure="undo",
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class ProvisionProject:
    """Turns a row of the catalogue into a running project."""

    project_id: str
