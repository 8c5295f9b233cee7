"""launchdb secrets: the platform's own secrets: rotated, and looked after."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any

import click

from catalog import audit
from infra import files
from infra.secrets import secretfiles
from jobs.engine.view import rfc3339
from jobs.projects import platform_secrets
from jobs.projects.platform_secrets import ALL, SMTP_PASSWORD
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import FAILURE
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note
from scripts.cli.target import open_home

if TYPE_CHECKING:
    from jobs.projects.platform_secrets import SecretStatus

LONGEST_GRACE = 30 * 24 * 3600


@click.group()
def secrets() -> None:
    """The platform's own secrets (operators only)."""


@secrets.command()
@click.argument("secret", type=click.Choice(sorted(ALL)))
@click.option(
    "--grace", type=click.IntRange(0, LONGEST_GRACE), metavar="SECONDS", help="How long the old one stays good (a day)."
)
@click.option("--password-stdin", is_flag=True, help="Read smtpPassword from standard input instead of asking.")
@click.option("--to", metavar="EMAIL", help="Where the mail goes that proves smtpPassword (default: to you).")
@wait_options
@json_option
@pass_session
def rotate(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    secret: str,
    *,
    grace: int | None,
    password_stdin: bool,
    to: str | None,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Put a new SECRET in the place of the old one, in the secrets folder and in `.env`. No request fails."""
    body: dict[str, Any] = {"secret": secret}
    if grace is not None:
        body["graceSeconds"] = grace
    if secret == SMTP_PASSWORD:
        body["password"] = sys.stdin.readline().rstrip("\n") if password_stdin else _ask()
    if to is not None:
        body["to"] = to
    answer = session.client.post("/api/admin/rotate", body)
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: _told(answer["job"], waited=not no_wait), as_json=as_json, waited=not no_wait)


@secrets.command()
@click.option(
    "--acknowledge", is_flag=True, help="Say that copies of both keys lie somewhere else; it is written down."
)
@json_option
@pass_session
def check(session: CliSession, *, acknowledge: bool, as_json: bool) -> None:
    """Show how the secrets in LAUNCHDB_HOME stand; exit 1 when one is unfit, or no copy is known of."""
    folder, infra = session.settings.secrets_folder, open_home(session.settings)
    try:
        with files.translate_os_errors(folder), infra.database.transaction() as tx:
            if acknowledge:
                platform_secrets.acknowledge_copies(tx, folder, by=getpass.getuser())
                audit.record(tx, audit.AuditEntry("operator", "secrets.acknowledge", detail={"by": getpass.getuser()}))
            faults, found = secretfiles.weaknesses(folder), platform_secrets.secret_statuses(tx, folder)
    finally:
        infra.close()
    faults += [f"nobody has said that a copy of {one.file} lies somewhere else" for one in found if one.copy_needed]
    faults += [
        f"an earlier {one.file} is still good, though its time is over; rotate it anew" for one in found if one.overdue
    ]
    shown = [_shown(one) for one in found]
    if as_json:
        print_json({"secrets": shown, "faults": faults})
    else:
        columns = ("secret", "file", "rotatedAt", "oldGoodUntil", "copyOf", "copyAt")
        headers = ("secret", "file", "rotated", "old good until", "copy kept by", "since")
        print_lines(format_table(headers, ([one[column] for column in columns] for one in shown)))
        for fault in faults:
            print_note(fault)
    if faults:
        raise click.exceptions.Exit(FAILURE)


def _shown(one: SecretStatus) -> dict[str, Any]:
    return {
        "secret": one.secret,
        "file": one.file,
        "rotatedAt": rfc3339(one.rotated_at),
        "oldGoodUntil": rfc3339(one.old_good_until),
        "copyOf": one.copy.acknowledged_by if one.copy else None,
        "copyAt": rfc3339(one.copy.acknowledged_at) if one.copy else None,
    }


def _ask() -> str:
    password: str = click.prompt("The mail server's new password", hide_input=True, err=True)
    return password


def _told(job: dict[str, Any], *, waited: bool) -> list[str]:
    if not waited:
        return [f"{job['kind']} accepted"]
    result = job.get("result") or {}
    lines = [f"{result['secret']} rotated"]
    if result.get("oldGoodUntil"):
        lines.append(f"the old one is good until {result['oldGoodUntil']}")
    if result["secret"] in platform_secrets.COPIED:
        lines.append("keep a copy of the new one somewhere else, then run `launchdb secrets check --acknowledge`")
    return lines
