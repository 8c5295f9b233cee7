"""project.rotate_secret: a new secret is known to all who check it, then in force, and no request fails on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import secrets
from infra.postgres.sql import statements
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.kinds.project.retire_secret import RetireSecret
from jobs.projects import data_plane, project_secrets
from jobs.projects.conditions import is_sound, only_if, settled, vault
from jobs.projects.steps import check_round_trip, update_auth, update_data_api, update_roles, update_storage

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)
GRACE_SECONDS = LETTER_SECONDS = 24 * 3600


def make_new_secret(run: AtomicRun[RotateSecret], tx: Transaction, vault: Vault) -> None:
    """Make what is new and store it; it is not in force. One that a rotation given up has left is gone on with."""
    project = run.args.project_id
    known = secrets.read_all(tx, vault, project)
    if not known:
        raise GiveUp("the project was deleted meanwhile")
    makers = project_secrets.rotated_makers(project, run.args.secret, int(tx.value(SQL.now)))
    if any(version.coming for name in makers for version in known.versions.get(name, ())):
        return
    made: dict[str, str] = {}
    for name, make in makers.items():
        made[name] = make(made)
        secrets.put(tx, vault, project, name, made[name], coming=True)


def give_data_api_both(run: Run[RotateSecret]) -> None:
    """Give the data API the new secret beside the old one, unless it is closed: paused, or asleep."""
    update_data_api(run)


def give_auth_both(run: Run[RotateSecret]) -> None:
    """Give Auth the new secret beside the old one, unless it is closed. It signs with the one in force."""
    update_auth(run)


def give_storage_both(run: Run[RotateSecret]) -> None:
    """Give Storage the new secret beside the old one, unless it is closed."""
    update_storage(run)


def set_passwords(run: Run[RotateSecret]) -> None:
    """Ensure that the logins have the passwords that are coming, once data API, Auth and Storage know them."""
    if run.args.secret != project_secrets.DATABASE_PASSWORD:
        # Passwords that another rotation has left would be set here and never be shown.
        update_roles(run)
    elif settled(run) is not None:
        data_plane.exchange_passwords(run, data_plane.passwords(run.args.project_id, data_plane.stored_secrets(run)))


def activate_new_secret(run: AtomicRun[RotateSecret], tx: Transaction) -> None:
    """Show the new secret from now on, and let a later job retire the old one."""
    args = run.args
    parts = list(project_secrets.secret_makers_of(args.project_id, args.secret, 0))
    until = secrets.activate(tx, args.project_id, parts, keep_seconds=args.grace_seconds)
    # A letter that was sealed by the old key is opened by it for as long as it is of use, whatever the grace.
    kept = max(args.grace_seconds, LETTER_SECONDS)
    secrets.activate(tx, args.project_id, list(project_secrets.MAIL_KEY_MAKERS), keep_seconds=kept)
    secrets.delete_expired(tx, args.project_id)
    if until is not None and args.grace_seconds > 0:
        owner = tx.value(SQL.owner, {"project": args.project_id})
        enqueue(tx, RetireSecret(args.project_id), owner_id=owner, run_at=until)


def report_rotation(run: AtomicRun[RotateSecret], tx: Transaction) -> None:
    """Report what was rotated, and until when the old one is good."""
    parts = project_secrets.secret_makers_of(run.args.project_id, run.args.secret, 0)
    ends = [kept.expires_at for kept in secrets.list_info(tx, run.args.project_id) if kept.name in parts]
    until = max((end for end in ends if end is not None), default=None)
    told = None if until is None else until.isoformat()
    run.result.update(projectId=run.args.project_id, secret=run.args.secret, oldGoodUntil=told)


@kind(
    "project.rotate_secret",
    steps=(
        AtomicStep(make_new_secret, reads=vault, no_return=True, title="Make the new secret"),
        Step(give_data_api_both, lasting=True, title="Give the data API both secrets"),
        Step(give_auth_both, lasting=True, title="Give Auth both secrets"),
        Step(give_storage_both, lasting=True, title="Give Storage both secrets"),
        Step(set_passwords, lasting=True),
        AtomicStep(activate_new_secret, title="Put the new secret in force"),
        Step(update_data_api, lasting=True, title="Update the data API"),
        Step(update_auth, lasting=True, title="Update Auth"),
        Step(update_storage, lasting=True, title="Update Storage"),
        Step(only_if(is_sound, check_round_trip), title="Check a round trip"),
        AtomicStep(report_rotation),
    ),
)
@dataclass(frozen=True)
class RotateSecret:
    """Changes a secret of a project: `databasePassword` (of every login) or `jwtSecret` (with the API keys).

    The key that letters wait sealed by goes with the JWT secret.

    grace_seconds  how long the old JWT secret and keys are good besides; passwords have none
    """

    project_id: str
    secret: str
    grace_seconds: int = 0
