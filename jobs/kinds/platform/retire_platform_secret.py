"""platform.retire_secret: the time in which an old secret was good besides is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import platform_secrets as catalogue
from catalog import secrets
from infra.secrets import secret_changes, secretfiles
from infra.secrets.master_keys import NAME
from infra.secrets.service_folders import deal_out
from infra.secrets.vault import master_key_id
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.platform_secrets import ALL, MASTER_KEY

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def check_unused(run: Run[RetirePlatformSecret]) -> None:
    """Make sure that an old master key is needed by nothing. Raises GiveUp; it stays valid then."""
    folder = run.infra.settings.secrets_folder
    with run.infra.database.autocommit() as tx:
        known = catalogue.of_job(tx, run.args.rotation)
        if known is None or known.secret != MASTER_KEY:
            return
        old = [key for key in secretfiles.previous(folder, NAME) if secret_changes.secret_id(key) == known.old_id]
        left = sum(secrets.wrapped_by(tx, master_key_id(key)) for key in old)
    if left:
        raise GiveUp(f"{left} data keys still need the old master key; retry platform.rewrap_secrets, then this")


def retire_old_secret(run: Run[RetirePlatformSecret]) -> None:
    """Revoke the old value."""
    with run.infra.database.autocommit() as tx:
        known = catalogue.of_job(tx, run.args.rotation)
    if known is None or known.old_id is None:
        return
    folder = run.infra.settings.secrets_folder
    with secret_changes.locked_folder(folder):
        run.check()
        secret_changes.retire(folder, ALL[known.secret].file, known.old_id)
        deal_out(folder)
    run.result["secret"] = known.secret


def note_retirement(run: AtomicRun[RetirePlatformSecret], tx: Transaction) -> None:
    """Write it down."""
    catalogue.mark_retired(tx, run.args.rotation)


@kind(
    "platform.retire_secret",
    steps=(
        Step(check_unused, title="Check that nothing needs the old secret"),
        Step(retire_old_secret, title="Retire the old secret"),
        AtomicStep(note_retirement, title="Note the retirement"),
    ),
    lane=None,
)
@dataclass(frozen=True)
class RetirePlatformSecret:
    """Retires the value that a rotation has replaced. rotation: the job that did it."""

    rotation: str
