"""project.reconcile: what was changed by hand is put right again; what cannot be is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from catalog import audit, names, secrets
from catalog import project_states as states
from infra.postgres.sql import statements
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects import data_plane, drift, schema_drift
from jobs.projects.conditions import is_sound, only_if, settled, vault
from jobs.projects.project_secrets import MAIL_KEY_MAKERS
from jobs.projects.steps import (
    check_round_trip,
    update_auth,
    update_data_api,
    update_database,
    update_pooler,
    update_roles,
    update_storage,
)

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)


def store_mail_key(run: AtomicRun[ReconcileProject], tx: Transaction, vault: Vault) -> None:
    """Make the key that letters are sealed with, for a project that is older than Auth; any other one has it."""
    project = run.args.project_id
    if states.is_in(tx, project, states.SETTLED, lock=True) and secrets.list_info(tx, project):
        secrets.store_once(tx, vault, project, MAIL_KEY_MAKERS)


def find_differences(run: Run[ReconcileProject]) -> None:
    """Record in the job's events what differs, before it is mended. Raises GiveUp when it could not be."""
    project = settled(run)
    if project is None:
        return
    run.check()
    seen = run.infra.databases.survey(names.roles(project.id), run.session)
    served = {entry.database: entry for entry in run.infra.pooler.served()}
    found = drift.differences(run.infra, seen, project, data_plane.stored_secrets(run), served=served)
    within = _objects(run, project.id)
    if within is not None and schema_drift.can_be_opened(seen, project.id):
        found += run.infra.databases.objects.differences(names.roles(project.id), within, run.session)
    for fault in found:
        run.log(fault)
    if any("stored secrets are missing" in fault for fault in found):
        raise GiveUp("the project's stored secrets are missing; restore them from a backup")


def update_schemas(run: Run[ReconcileProject]) -> None:
    """Restore our schemas to what the template has, where that is safe; name in the catalogue what differs still."""
    project = settled(run)
    within = None if project is None else _objects(run, project.id)
    if project is None or within is None:
        return
    run.check()
    left = run.infra.databases.objects.heal(names.roles(project.id), within, run.session)
    with run.transaction() as tx:
        tx.execute(SQL.keep_drift, {"project": project.id, "drift": left})


def report_healing(run: AtomicRun[ReconcileProject], tx: Transaction) -> None:
    """Report what was found and mended, also by attempts before this one."""
    states.clear_complaint(tx, run.args.project_id)
    named = tx.value(SQL.drift, {"project": run.args.project_id}) or []
    healed = [row["message"] for row in tx.rows(SQL.told, {"job": run.job_id}) if row["message"] not in named]
    run.result.update(projectId=run.args.project_id, healed=healed, named=named)
    if healed:
        # Whoever owns the project may have meant it: they are told that it was taken back.
        who = audit.AuditEntry("system", "project.heal", "healed", project_id=run.args.project_id, job_id=run.job_id)
        audit.record(tx, replace(who, detail={"healed": healed}))


def on_failed(args: ReconcileProject, tx: Transaction, reason: str) -> None:
    """Record in the catalogue in what the project is not as it should be."""
    states.set_complaint(tx, args.project_id, f"not as it should be: {reason}")


def _objects(run: Run[ReconcileProject], project: str) -> list[dict[str, Any]] | None:
    with run.infra.database.autocommit() as tx:
        template = tx.value(SQL.template, {"project": project})
    return schema_drift.wanted_schema(run.infra, template, run.session)


@kind(
    "project.reconcile",
    steps=(
        AtomicStep(store_mail_key, reads=vault, title="Make the key of its letters, if missing"),
        Step(find_differences),
        Step(update_roles, lasting=True),
        Step(update_database, lasting=True, title="Update the database's rights and limits"),
        Step(update_schemas, lasting=True, title="Update our schemas"),
        Step(update_pooler, lasting=True, title="Update PgBouncer"),
        Step(update_data_api, lasting=True, title="Update the data API"),
        Step(update_auth, lasting=True, title="Update Auth"),
        Step(update_storage, lasting=True, title="Update Storage"),
        Step(only_if(is_sound, check_round_trip), title="Check a round trip"),
        AtomicStep(report_healing, title="Report what was healed"),
    ),
    attempts=3,
    preempts=True,
    coalesces=True,
    failed=on_failed,
)
@dataclass(frozen=True)
class ReconcileProject:
    """Puts right what was changed of a project by hand. `found` is what made somebody ask for it, in words."""

    project_id: str
    found: tuple[str, ...] = ()
