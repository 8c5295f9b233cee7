"""platform.rewrap_secrets: after a rotation of the master key, nothing that is kept needs the old one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import secrets
from infra import master_keys
from jobs.errors import GiveUp
from jobs.kind import Step, kind

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

AT_A_TIME = 50


def canary_is_resealed(run: Run[RewrapSecrets], tx: Transaction) -> None:
    """From now on the installation is known by the newest master key, and new secrets are wrapped by no other."""
    run.infra.vault.reseal_canary(tx)


def data_keys_are_rewrapped(run: Run[RewrapSecrets]) -> None:
    """Wrap every data key by the newest master key, some at a time; requests read either meanwhile."""
    with run.infra.database.autocommit() as tx:
        total = secrets.wrapped_by_others(tx, run.infra.vault)
    done, count = 0, 1
    while count:
        run.check()
        run.progress(done, max(total, done), f"{done} of {total}")
        with run.transaction() as tx:
            count = secrets.rewrap_some(tx, run.infra.vault, limit=AT_A_TIME)
        done += count
    run.result["rewrapped"] = done


def earlier_keys_are_kept(run: Run[RewrapSecrets]) -> None:
    """Keep the old master key sealed by the newest: backups of the platform from before need it."""
    run.check()
    master_keys.keep(run.infra.settings.secrets_folder)


def nothing_needs_another_key(run: Run[RewrapSecrets], tx: Transaction) -> None:
    """Look once more. Raises GiveUp."""
    left = secrets.wrapped_by_others(tx, run.infra.vault)
    if left:
        raise GiveUp(f"{left} data keys are still wrapped by another master key")


@kind(
    "platform.rewrap_secrets",
    steps=(
        Step(canary_is_resealed, atomic=True, title="Seal the canary"),
        Step(data_keys_are_rewrapped, long=True, title="Wrap the data keys"),
        Step(earlier_keys_are_kept, title="Keep the old key, sealed"),
        Step(nothing_needs_another_key, atomic=True, title="Look once more"),
    ),
    lane=None,
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class RewrapSecrets:
    """Wraps every data key by the newest master key."""
