"""platform.rotate_secret: one of the platform's own secrets is changed, and no request fails on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from catalog import job_secrets
from catalog import platform_secrets as catalogue
from catalog.secrets import SecretMissing
from infra.backup import keys
from infra.mail.mail import Email, SmtpServer, to_message
from infra.secrets import secret_changes, secretfiles
from infra.secrets.service_folders import deal_out
from infra.secrets.service_logins import ensure_service_logins
from jobs.engine.commands import JobConflict
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.kinds.platform.retire_platform_secret import RetirePlatformSecret
from jobs.kinds.platform.rewrap_secrets import RewrapSecrets
from jobs.projects import conditions, platform_secrets
from jobs.projects.platform_secrets import ALL, BACKUP_KEY, MASTER_KEY, SMTP_PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from catalog.platform_secrets import SecretRotation
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault
    from jobs.engine.run import AtomicRun, Run
    from jobs.projects.platform_secrets import ChosenPassword

TRIAL = (
    "The mail server's new password works",
    "LaunchDB signs in to the mail server with another password from now on. This mail was sent with it.\n",
)


def generate_new_secret(run: Run[RotatePlatformSecret]) -> None:
    """Lay the new value beside the one in force, where nobody reads it. Raises GiveUp when it was forgotten."""
    if _is_in_force(run):
        return
    rotated, forms = ALL[run.args.secret], {**secretfiles.NAMES, **secretfiles.OWN}
    file = rotated.file
    if rotated.login:  # where one is lost, another is made
        secretfiles.ensure_own(_folder(run))
    value = _chosen(run).password if run.args.chosen else secretfiles.generate(forms[file])
    run.check()
    secret_changes.stage_value(_folder(run), file, run.job_id, value)


def remove_new_secret(run: Run[RotatePlatformSecret]) -> None:
    """Take away what lies beside the one in force, unless that is in force already: then a retry goes on with it."""
    file = ALL[run.args.secret].file
    if secret_changes.staged_value(_folder(run), file, run.job_id) not in _valid(run):
        secret_changes.discard_staged(_folder(run), file, run.job_id)


def try_mail(run: Run[RotatePlatformSecret]) -> None:
    """Prove a new password of the mail server by a mail. Raises Refused when the server does not take it."""
    if run.args.secret != SMTP_PASSWORD or _is_in_force(run):
        return
    if run.infra.settings.mail != "smtp":
        raise GiveUp("this installation sends no mail: SMTP_HOST is not set")
    chosen, sender = _chosen(run), run.infra.settings.smtp_from
    letter = to_message(Email(chosen.to, *TRIAL), sender=sender, identity=run.job_id, at=datetime.now(UTC))
    run.check()
    SmtpServer(run.infra.settings, password=chosen.password).deliver(letter, chosen.to, run.check)


@dataclass(frozen=True)
class SecretChange:
    """A value that takes the place of another. ids: by what the old and the new one are known; none of a chosen one."""

    new: str = field(repr=False)
    ids: tuple[str, str] | tuple[None, None]
    vault: Vault


def offered_change(run: Run[RotatePlatformSecret]) -> SecretChange:
    """Return what is about to change. Raises GiveUp when the new value is gone."""
    new, vault = _offered(run), conditions.vault(run)
    if run.args.chosen:
        return SecretChange(new, (None, None), vault)
    return SecretChange(new, (secret_changes.secret_id(_valid(run)[0]), secret_changes.secret_id(new)), vault)


def note_begin(run: AtomicRun[RotatePlatformSecret], tx: Transaction, change: SecretChange) -> None:
    """Write down which value takes the place of which; data keys may be wrapped by either master key."""
    old_id, new_id = change.ids
    catalogue.begin(tx, run.job_id, run.args.secret, old_id=old_id, new_id=new_id)
    if run.args.secret == MASTER_KEY:
        change.vault.allow_master_key(tx, change.new)


def forget_rotation(run: Run[RotatePlatformSecret]) -> None:
    """Forget it, unless the new value is in force already."""
    file = ALL[run.args.secret].file
    new = secret_changes.staged_value(_folder(run), file, run.job_id)
    if new is None or new in _valid(run):
        return
    with run.transaction() as tx:
        catalogue.delete_unused(tx, run.job_id)
        if run.args.secret == MASTER_KEY:
            run.infra.vault.disallow_master_key(tx, new)


def switch_to_new_secret(run: Run[RotatePlatformSecret]) -> None:
    """Put the new secret in force for everybody who reads it."""
    if _is_in_force(run):
        return
    rotated, dotenv = ALL[run.args.secret], run.infra.settings.home / ".env"
    with secret_changes.locked_folder(_folder(run)):
        run.check()
        if run.args.secret == BACKUP_KEY:
            keys.keep_current_key(_folder(run))
        # What is sealed or signed by the new one is read by others a moment before they are told to use it.
        deal_out(_folder(run), coming={rotated.file: _offered(run)})
        secret_changes.activate(_folder(run), dotenv, rotated.file, _offered(run), keep_old=_grace(run.args) > 0)
        deal_out(_folder(run))
        if rotated.login:
            databases = run.infra.databases
            ensure_service_logins(databases.cluster, databases.platform, _folder(run), run.session)


def note_rotation(run: AtomicRun[RotatePlatformSecret], tx: Transaction) -> None:
    """Write down that it is in force; let what the old master key has wrapped be wrapped anew."""
    catalogue.mark_in_force(tx, run.job_id)
    job_secrets.delete(tx, run.args.chosen)
    if run.args.secret == MASTER_KEY:
        run.spawn(tx, RewrapSecrets())


def remove_copy(run: Run[RotatePlatformSecret]) -> None:
    """Take away the copy that lies beside the one in force."""
    secret_changes.discard_staged(_folder(run), ALL[run.args.secret].file, run.job_id)


def wait_for_rewrapping(run: Run[RotatePlatformSecret]) -> None:
    """Wait until nothing needs the old master key. Raises GiveUp; both stay valid then."""
    failed = [child["error"] for child in run.children() if child["status"] != "succeeded"]
    if failed:
        raise GiveUp(f"the secrets could not all be wrapped anew; both master keys stay valid: {failed[0]}")


def schedule_retirement(run: AtomicRun[RotatePlatformSecret], tx: Transaction) -> None:
    """Report, and let a later job retire the old value."""
    until: datetime | None = None
    if grace := _grace(run.args):
        until = catalogue.set_grace_time(tx, run.job_id, grace)
        enqueue(tx, RetirePlatformSecret(run.job_id), run_at=until)
    else:
        catalogue.mark_retired(tx, run.job_id)
    run.result.update(secret=run.args.secret, oldGoodUntil=None if until is None else until.isoformat())


def on_failed(args: RotatePlatformSecret, tx: Transaction, _reason: str) -> None:
    """Keep no password that was not put in force."""
    job_secrets.delete(tx, args.chosen)


def on_retry(args: RotatePlatformSecret, _tx: Transaction) -> None:
    """Allow a rotation to go on, unless what was chosen for it is forgotten. Raises JobConflict."""
    if args.chosen:
        raise JobConflict("the password is not kept; rotate anew")


def _folder(run: Run[RotatePlatformSecret]) -> Path:
    return run.infra.settings.secrets_folder


def _valid(run: Run[RotatePlatformSecret]) -> list[str]:
    folder, file = _folder(run), ALL[run.args.secret].file
    # A password of the mail server's may stand in the settings alone.
    return secretfiles.read(folder, file) if (folder / file).exists() else []


def _grace(args: RotatePlatformSecret) -> int:
    return platform_secrets.seconds_of_grace(args.secret, args.grace_seconds)


def _is_in_force(run: Run[RotatePlatformSecret]) -> bool:
    with run.infra.database.autocommit() as tx:
        known: SecretRotation | None = catalogue.of_job(tx, run.job_id)
    return known is not None and known.in_force_at is not None


def _offered(run: Run[RotatePlatformSecret]) -> str:
    value = secret_changes.staged_value(_folder(run), ALL[run.args.secret].file, run.job_id)
    if value is None:
        raise GiveUp("the new value that lay in the secrets folder is gone; rotate anew")
    return value


def _chosen(run: Run[RotatePlatformSecret]) -> ChosenPassword:
    try:
        with run.infra.database.autocommit() as tx:
            return platform_secrets.read_chosen(tx, run.infra.vault, run.args.chosen)
    except SecretMissing:
        raise GiveUp("the password is not kept any more; rotate anew") from None


@kind(
    "platform.rotate_secret",
    steps=(
        Step(
            generate_new_secret,
            undo=remove_new_secret,
            title="Generate the new secret",
        ),
        Step(try_mail, title="Try the mail server's new password"),
        AtomicStep(note_begin, reads=offered_change, undo=forget_rotation, title="Note what changes"),
        Step(switch_to_new_secret, no_return=True),
        AtomicStep(note_rotation, title="Note the rotation"),
        Step(remove_copy, title="Remove the copy"),
        Step(wait_for_rewrapping, joins="rewrapping", title="Wait for the rewrapping"),
        AtomicStep(schedule_retirement, title="Schedule the retirement of the old secret"),
    ),
    lane=None,
    on_failure="undo",
    max_running=1,
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class RotatePlatformSecret:
    """Changes a secret of the platform's own.

    grace_seconds  how long the old value is good besides
    chosen         by what a password that people chose is found, sealed
    """

    secret: str
    grace_seconds: int = 0
    chosen: str = ""
