"""project.provision: a row of the catalogue becomes a running project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import names
from catalog import project_states as states
from infra.disk import require_disk_space
from jobs.engine.commands import JobConflict
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects import data_plane
from jobs.projects.conditions import newest_template, vault
from jobs.projects.steps import (
    add_to_pooler,
    check_round_trip,
    close_auth,
    close_data_api,
    close_storage,
    create_roles,
    drop_database,
    drop_roles,
    forget_secrets,
    mark_active,
    open_auth,
    open_data_api,
    open_storage,
    remove_from_pooler,
    store_secrets,
)

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run


def clone_template(run: Run[Any]) -> None:
    """Ensure that the project has its database: a copy of the template, granted to its own roles only."""
    require_disk_space(run.infra.settings)
    database = names.database(run.args.project_id)
    databases = run.infra.databases.with_limits(data_plane.stored_limits(run))
    run.ledger.mark_intended("database", database)
    run.check()
    databases.ensure_database(database, names.roles(run.args.project_id), run.session)
    run.ledger.mark_present("database", database)


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
        AtomicStep(store_secrets, reads=vault, undo=forget_secrets, title="Make secrets and keys"),
        Step(create_roles, lasting=True, undo=drop_roles),
        Step(clone_template, lasting=True, undo=drop_database, title="Create the database"),
        Step(add_to_pooler, lasting=True, undo=remove_from_pooler, title="Add to PgBouncer"),
        Step(open_data_api, lasting=True, undo=close_data_api, title="Open the data API"),
        Step(open_auth, lasting=True, undo=close_auth, title="Open Auth"),
        Step(open_storage, lasting=True, undo=close_storage, title="Open Storage"),
        Step(check_round_trip, title="Check a round trip"),
        AtomicStep(mark_active, reads=newest_template),
    ),
    on_failure="undo",
    priority=1,
    bursts=True,
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class ProvisionProject:
    """Turns a row of the catalogue into a running project."""

    project_id: str
