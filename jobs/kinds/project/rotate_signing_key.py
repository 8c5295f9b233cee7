"""project.rotate_signing_key: a new key is verified everywhere before it signs the first token of a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import names, projects, secrets
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.kinds.project.retire_secret import RetireSecret
from jobs.projects import signing_keys
from jobs.projects.conditions import is_sound, only_if, vault
from jobs.projects.steps import check_round_trip, update_auth, update_data_api, update_storage

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.secrets.signing_keys import Algorithm
    from infra.secrets.vault import Vault
    from jobs.engine.run import AtomicRun, Run


def make_standby_key(run: AtomicRun[RotateSigningKey], tx: Transaction, vault: Vault) -> None:
    """Make the key that stands by, unless a fitting one does; it signs nothing yet."""
    if not secrets.read_all(tx, vault, run.args.project_id):
        raise GiveUp("the project was deleted meanwhile")
    signing_keys.ensure_standby(tx, vault, run.args.project_id, run.args.algorithm)


def publish_public_key(run: Run[RotateSigningKey]) -> None:
    """Give the data API the public part beside those it has, unless it is closed: paused, or asleep."""
    update_data_api(run)


def publish_to_auth(run: Run[RotateSigningKey]) -> None:
    """Give Auth the public part too: it verifies by it, and shows it to whoever asks."""
    update_auth(run)


def publish_to_storage(run: Run[RotateSigningKey]) -> None:
    """Give Storage the public part too."""
    update_storage(run)


def use_standby_key(run: AtomicRun[RotateSigningKey], tx: Transaction) -> None:
    """Use the key from now on; the one before it signs nothing more, and is good until it is revoked or ends."""
    args = run.args
    if not args.use:
        return
    until = secrets.activate(tx, args.project_id, [names.SIGNING_KEY], keep_seconds=args.grace_seconds)
    secrets.delete_expired(tx, args.project_id)
    if until is not None:
        enqueue(tx, RetireSecret(args.project_id), owner_id=projects.owner_of(tx, args.project_id), run_at=until)


def report_signing_keys(run: AtomicRun[RotateSigningKey], tx: Transaction, vault: Vault) -> None:
    """Report which key signs, and which stands by."""
    keys = signing_keys.keys_of(secrets.read_all(tx, vault, run.args.project_id))
    told = {key.state: key.id for key in reversed(keys)}
    run.result.update(projectId=run.args.project_id, inUse=told.get("in_use"), standby=told.get("standby"))


@kind(
    "project.rotate_signing_key",
    steps=(
        AtomicStep(make_standby_key, reads=vault, no_return=True, title="Make the key that stands by"),
        Step(publish_public_key, lasting=True, title="Give the data API its public part"),
        Step(publish_to_auth, lasting=True, title="Publish its public part"),
        Step(publish_to_storage, lasting=True, title="Give Storage its public part"),
        AtomicStep(use_standby_key, title="Put the new key in use"),
        Step(update_auth, lasting=True, title="Update Auth"),
        Step(update_data_api, lasting=True, title="Update the data API"),
        Step(update_storage, lasting=True, title="Update Storage"),
        Step(only_if(is_sound, check_round_trip), title="Check a round trip"),
        AtomicStep(report_signing_keys, reads=vault),
    ),
)
@dataclass(frozen=True)
class RotateSigningKey:
    """Makes a key for the tokens of a project's users, and lets it sign.

    algorithm      None: that of the key that stands by, or ES256
    use            whether it signs from now on, or stands by
    grace_seconds  how long the one before is good besides; None: until it is revoked
    """

    project_id: str
    algorithm: Algorithm | None = None
    use: bool = True
    grace_seconds: int | None = None
