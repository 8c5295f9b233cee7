"""What an owner may ask of a project's life, and when: the one place where its state is checked before a job exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import project_states as states
from catalog.backups import kept_database
from catalog.projects import ProjectBusy
from infra.postgres.sql import statements
from jobs.engine import kind as kinds
from jobs.engine.enqueue import enqueue
from jobs.engine.table import Job
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.export import ExportProject
from jobs.kinds.backup.forget_backup import ForgetBackup
from jobs.kinds.backup.forget_database import ForgetDatabase
from jobs.kinds.backup.import_ import ImportProject
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.project.configure import ConfigureProject
from jobs.kinds.project.extension import ExtendProject
from jobs.kinds.project.import_users import ImportUsers
from jobs.kinds.project.pause import PauseProject
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.kinds.project.restart import RestartProject
from jobs.kinds.project.resume import ResumeProject
from jobs.kinds.project.rotate_secret import RotateSecret
from jobs.kinds.project.rotate_signing_key import RotateSigningKey
from jobs.kinds.project.sleep import SleepProject
from jobs.kinds.project.update_keys import UpdateKeys
from jobs.kinds.project.vacuum import VacuumProject
from jobs.kinds.project.wake import WakeProject
from jobs.projects import jwt_import, project_secrets

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.secrets.signing_keys import Algorithm
    from infra.secrets.vault import Vault

SQL = statements(__file__)
# What could not be woken is not tried again by each request.
REST_SECONDS = 10


class NothingKept(Exception):
    """There is no way back: nothing is kept from before a restore."""


def pause(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for a project to be paused, also one that sleeps; a pause under way is returned. Raises ProjectBusy."""
    return _ask(tx, PauseProject(project_id), states.REACHABLE, asked)


def resume(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for a paused project to be resumed, or a sleeping one to be woken; one under way is returned.

    Raises ProjectBusy.
    """
    if states.state_of(tx, project_id, lock=True) == "sleeping":
        return wake(tx, project_id, **asked)
    return _ask(tx, ResumeProject(project_id), states.PAUSED, asked)


def sleep(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for an active project to be put to sleep, if it is idle still by then. Raises ProjectBusy."""
    return _ask(tx, SleepProject(project_id), states.ACTIVE, asked)


def wake(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for a sleeping project to be woken, behind whatever else is done to it; one under way is returned.

    Raises ProjectBusy, also for a while after a project could not be woken.
    """
    status = states.state_of(tx, project_id, lock=True)
    open_job = tx.one(Job, SQL.waking, {"project": project_id})
    if open_job is not None:
        return open_job
    if status != "sleeping" or tx.value(SQL.woke_in_vain, {"project": project_id, "seconds": REST_SECONDS}):
        raise ProjectBusy(status or "deleted", None)
    return enqueue(tx, WakeProject(project_id), **asked)


def mend(tx: Transaction, project_id: str, *, rest_seconds: int = REST_SECONDS, **asked: Any) -> Job | None:
    """Ask for an active project that does not answer to be put right; nothing is asked for while somebody sees to it.

    What was tried a moment ago, less than `rest_seconds`, is left to the sweep, which knows what differs.
    """
    status = states.state_of(tx, project_id, lock=True)
    if status != "active" or tx.value(SQL.seen_to, {"project": project_id, "seconds": rest_seconds}):
        return None
    return enqueue(tx, ReconcileProject(project_id, ("its data API does not answer",)), **asked)


def restart(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for an active project to be restarted; a restart under way is returned. Raises ProjectBusy."""
    return _ask(tx, RestartProject(project_id), states.ACTIVE, asked)


def vacuum(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for an active project to be vacuumed; a vacuum under way is returned. Raises ProjectBusy."""
    return _ask(tx, VacuumProject(project_id), states.ACTIVE, asked)


def import_users(tx: Transaction, project_id: str, file: str, **asked: Any) -> Job:
    """Ask for users out of a dump in the imports folder to be loaded into an active project. Raises ProjectBusy."""
    return _ask(tx, ImportUsers(project_id, file), states.ACTIVE, asked)


def rotate(tx: Transaction, project_id: str, secret: str, grace_seconds: int, **asked: Any) -> Job:
    """Ask for a secret of an active, paused or sleeping project to be rotated; the same under way is returned.

    Raises ProjectBusy.
    """
    return _ask(tx, RotateSecret(project_id, secret, grace_seconds), states.SETTLED, asked)


def rotate_signing_key(
    tx: Transaction,
    project_id: str,
    *,
    algorithm: Algorithm | None,
    use: bool,
    grace_seconds: int | None,
    **asked: Any,
) -> Job:
    """Ask for another signing key of an active, paused or sleeping project; the same under way is returned.

    Raises ProjectBusy.
    """
    return _ask(tx, RotateSigningKey(project_id, algorithm, use, grace_seconds), states.SETTLED, asked)


def update_keys(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for a project's services to be told which keys are good, whatever its state."""
    return enqueue(tx, UpdateKeys(project_id), **asked)


def import_jwt_secret(
    tx: Transaction, project_id: str, *, vault: Vault, values: dict[str, str], grace_seconds: int, **asked: Any
) -> Job:
    """Ask for a project to go on with a JWT secret and keys made elsewhere, as `jwt_import.check` returned them.

    Raises ProjectBusy, also while its secret is rotated already.
    """
    status = states.state_of(tx, project_id, lock=True)
    wanted = RotateSecret(project_id, project_secrets.JWT_SECRET, grace_seconds)
    open_job = tx.one(Job, SQL.in_the_way, {"lane": f"{project_id}/{kinds.of(wanted).lane}"})
    if open_job is not None or status not in states.SETTLED:
        raise ProjectBusy(status or "deleted", open_job.id if open_job else None)
    jwt_import.stage(tx, vault, project_id, values)
    return enqueue(tx, wanted, **asked)


def backup(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for a project to be backed up, behind whatever else is done to its data. Raises ProjectBusy."""
    return _behind(tx, BackupProject(project_id), states.SETTLED, asked)


def verify_backup(tx: Transaction, project_id: str, backup_id: str, **asked: Any) -> Job:
    """Ask for a backup of a project to be proven, behind whatever else is done to its data. Raises ProjectBusy."""
    return _behind(tx, VerifyBackup(project_id, backup_id), states.SETTLED, asked)


def forget_backup(tx: Transaction, project_id: str, backup_id: str, **asked: Any) -> Job:
    """Ask for a backup to be deleted."""
    return enqueue(tx, ForgetBackup(project_id, backup_id), **asked)


def restore(tx: Transaction, project_id: str, backup_id: str, *, partial: bool = False, **asked: Any) -> Job:
    """Ask for a backup to become a project's database, also of one whose last restore failed. Raises ProjectBusy.

    partial  also when something of it cannot come back
    """
    arguments = RestoreProject(project_id, backup_id, partial)
    job = _ask(tx, arguments, states.RESTORABLE, asked)
    states.move(tx, project_id, "restoring", by="project.restore asked")
    return job


def undo_restore(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for what a project was before its last restore. Raises NothingKept, ProjectBusy."""
    _kept(tx, project_id)
    return _ask(tx, UndoRestore(project_id), states.SETTLED, asked)


def confirm_restore(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for what a project was before its last restore to be dropped. Raises NothingKept, ProjectBusy."""
    return _ask(tx, ForgetDatabase(project_id, _kept(tx, project_id)), states.SETTLED, asked)


def export(tx: Transaction, project_id: str, passphrase: str, **asked: Any) -> Job:
    """Ask for a project in one file. passphrase: by what it is found, sealed. Raises ProjectBusy."""
    return _behind(tx, ExportProject(project_id, passphrase), states.SETTLED, asked)


def is_exported(tx: Transaction, project_id: str, job_id: str) -> bool:
    """Return whether this job has exported this project."""
    return bool(tx.value(SQL.is_exported, {"project": project_id, "job": job_id}))


def import_project(
    tx: Transaction, project_id: str, *, file: str, form: str, passphrase: str, partial: bool = False, **asked: Any
) -> Job:
    """Ask for a project that was just written to be made of an export. Raises ProjectBusy."""
    return _behind(tx, ImportProject(project_id, file, form, passphrase, partial), states.RESTORING, asked)


def change_extension(tx: Transaction, project_id: str, extension: str, wanted: dict[str, bool], **asked: Any) -> Job:
    """Ask for an extension of an active project to be as `wanted` (present, cascade). Raises ProjectBusy."""
    status = states.state_of(tx, project_id, lock=True)
    if status != "active":
        raise ProjectBusy(status or "deleted", None)
    return enqueue(tx, ExtendProject(project_id, extension, **wanted), **asked)


def configure(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for what was changed in the catalogue to take effect, whatever the state: it goes by the one it finds."""
    return enqueue(tx, ConfigureProject(project_id), **asked)


def _kept(tx: Transaction, project_id: str) -> str:
    row = kept_database(tx, project_id)
    if row is None:
        raise NothingKept("nothing is kept from before a restore of this project")
    return str(row["job_id"])


def _behind(tx: Transaction, arguments: Any, wanted: tuple[str, ...], asked: dict[str, Any]) -> Job:
    """Enqueue what may wait behind other jobs, unless the state is against it."""
    status = states.state_of(tx, arguments.project_id, lock=True)
    if status not in wanted:
        raise ProjectBusy(status or "deleted", None)
    return enqueue(tx, arguments, **asked)


def _ask(tx: Transaction, arguments: Any, wanted: tuple[str, ...], asked: dict[str, Any]) -> Job:
    """Enqueue as `asked` says (by, owner_id, request_id), unless the state or another job is in the way."""
    # The row is the lock: the last step of a job that changes the state takes turns with us.
    status = states.state_of(tx, arguments.project_id, lock=True)
    declared = kinds.of(arguments)
    lane = f"{arguments.project_id}/{declared.lane}"
    open_job = tx.one(Job, SQL.in_the_way, {"lane": lane})
    same = open_job is not None and (open_job.kind, open_job.args) == (declared.name, kinds.to_json(arguments))
    if open_job is not None and same and open_job.status != "cancelling":
        return open_job
    if open_job is not None or status not in wanted:
        raise ProjectBusy(status or "deleted", open_job.id if open_job else None)
    return enqueue(tx, arguments, **asked)
