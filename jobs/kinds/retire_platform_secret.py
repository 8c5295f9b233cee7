"""platform.retire_secret: the time in which an old secret was good besides is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import platform_secrets as catalogue
from catalog import secrets
from infra import secret_changes
from jobs.errors import GiveUp
from jobs.kind import Step, kind
from jobs.platform_secrets import ALL, MASTER_KEY

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run


def nothing_needs_it(run: Run[RetirePlatformSecret]) -> None:
    """Make sure that an old master key is needed by nothing. Raises GiveUp; it stays valid then."""
    with run.infra.database.autocommit() as tx:
        known = catalogue.of_job(tx, run.args.rotation)
        left = secrets.wrapped_by_others(tx, run.infra.vault) if known and known.secret == MASTER_KEY else 0
    if left:
        raise GiveUp(f"{left} data keys still need another master key; run platform.rewrap_secrets first")


def old_secret_is_gone(run: Run[RetirePlatformSecret]) -> None:
    """Let nobody take the old value any more."""
    with run.infra.database.autocommit() as tx:
        known = catalogue.of_job(tx, run.args.rotation)
    if known is None or known.old_id is None:
        return
    folder = run.infra.settings.secrets_folder
    with secret_changes.changing(folder):
        run.check()
        secret_changes.retire(folder, ALL[known.secret].file, known.old_id)
    run.result["secret"] = known.secret


def retirement_is_noted(run: Run[RetirePlatformSecret], tx: Transaction) -> None:
    """Write it down."""
    catalogue.retired(tx, run.args.rotation)


@kind(
    "platform.retire_secret",
    steps=(
        Step(nothing_needs_it, title="Make sure that nothing needs it"),
        Step(old_secret_is_gone, title="Forget the old secret"),
        Step(retirement_is_noted, atomic=True, title="Write it down"),
    ),
    lane=None,
)
@dataclass(frozen=True)
class RetirePlatformSecret:
    """Retires the value that a rotation has replaced. rotation: the job that did it."""

    rotation: str
