"""platform.rewrap_secrets: after a rotation of the master key, nothing that is kept needs the old one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import secrets
from infra.secrets import master_keys
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.conditions import vault

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault
    from jobs.engine.run import AtomicRun, Run

AT_A_TIME = 50


def reseal_canary(_run: AtomicRun[RewrapSecrets], tx: Transaction, vault: Vault) -> None:
    """From now on the installation is known by the newest master key, and new secrets are wrapped by no other."""
    vault.reseal_canary(tx)


def rewrap_data_keys(run: Run[RewrapSecrets]) -> None:
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


def keep_earlier_keys(run: Run[RewrapSecrets]) -> None:
    """Keep the old master key sealed by the newest: backups of the platform from before need it."""
    run.check()
    master_keys.seal_earlier_keys(run.infra.settings.secrets_folder)


def check_rewrapped(_run: AtomicRun[RewrapSecrets], tx: Transaction, vault: Vault) -> None:
    """Look once more. Raises GiveUp."""
    left = secrets.wrapped_by_others(tx, vault)
    if left:
        raise GiveUp(f"{left} data keys are still wrapped by another master key")


@kind(
    "platform.rewrap_secrets",
    steps=(
        AtomicStep(reseal_canary, reads=vault, title="Seal the canary anew"),
        Step(rewrap_data_keys, long=True, title="Wrap the data keys anew"),
        Step(keep_earlier_keys, title="Keep the old key, sealed"),
        AtomicStep(check_rewrapped, reads=vault, title="Check that nothing needs another key"),
    ),
    lane=None,
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class RewrapSecrets:
    """Wraps every data key by the newest master key."""
