"""What the platform itself can find wrong, from its rows and its secrets; and the job that puts it right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from catalog import endings
from catalog import project_states as states
from catalog import projects as catalogue
from infra.disk import disk_spaces
from infra.edge.proxy import CaddyProxy
from infra.errors import InfraError
from infra.postgres.sql import statements
from infra.secrets import secretfiles
from infra.secrets.services import held_files
from jobs.engine.enqueue import enqueue
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.projects import platform_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config.settings import Settings
    from infra.edge.certificates import Certificate
    from infra.postgres.database import Transaction
    from jobs.engine.table import Job

SQL = statements(__file__)
Status = Literal["ok", "info", "warning", "failure"]
# More than a person reads; the counts are right all the same.
MOST_NAMED = 20
# So long after the last of its sessions was ended a project is named.
RECENT_MINUTES = 15
# Caddy renews a certificate of ninety days a month before its end; two weeks before it, that has failed many times.
RENEWED_SECONDS = 14 * 86400.0


class NoSuchCheck(Exception):
    """There is no check of this name that a job mends."""


@dataclass(frozen=True)
class PlatformFinding:
    """What a check saw. fixable: a job can mend it."""

    check: str
    status: Status
    evidence: str
    remedy: str = ""
    fixable: bool = False
    subject: str = ""


def registration(_tx: Transaction, settings: Settings) -> Iterator[PlatformFinding]:
    """Return who may register."""
    if settings.env == "production" and settings.registration == "open":
        quota = settings.max_projects_per_owner or 3
        said = f"anybody may register and have {quota} projects"
        yield PlatformFinding(
            "registration", "warning", said, "set REGISTRATION to invite or closed, if that is not meant"
        )
    else:
        yield PlatformFinding("registration", "ok", f"registration is {settings.registration}")


def secrets(tx: Transaction, settings: Settings) -> Iterator[PlatformFinding]:
    """Look at the platform's secrets, and at whether a copy of those that no backup opens without lies elsewhere."""
    folder = settings.secrets_folder
    faults = secretfiles.weaknesses(folder, held_files(settings))
    for fault in faults:
        yield PlatformFinding("secrets", "failure", fault, "launchdb secrets rotate, or chmod 600")
    for one in platform_secrets.secret_statuses(tx, folder):
        if one.copy_needed:
            said = f"nobody has said that a copy of {one.file} lies somewhere else"
            remedy = "copy the folder to where the machine is not, then: launchdb secrets check --acknowledge"
            yield PlatformFinding("secrets", "warning", said, remedy, subject=one.secret)
        elif one.copy is not None:
            said = (
                f"a copy of {one.file} is kept, says {one.copy.acknowledged_by} ({one.copy.acknowledged_at:%Y-%m-%d})"
            )
            yield PlatformFinding("secrets", "ok", said, subject=one.secret)
        if one.overdue:
            said = f"an earlier {one.file} is still good, though its time is over"
            yield PlatformFinding(
                "secrets", "warning", said, f"launchdb secrets rotate {one.secret}", subject=one.secret
            )


def certificate(_tx: Transaction, settings: Settings) -> Iterator[PlatformFinding]:
    """Look at the certificate that clients are shown: for whom it is, from whom, and how long it is good."""
    shown = None if settings.runtime == "embedded" else CaddyProxy(settings).certificate()
    if shown is None:
        yield PlatformFinding("certificate", "ok", "TLS is not this installation's own")
    else:
        yield judge_certificate(shown, settings)


def judge_certificate(shown: Certificate, settings: Settings) -> PlatformFinding:
    """Return whether clients will take this certificate, today and in two weeks."""
    said = f"{shown.subject}, of {shown.issuer}, is good until {shown.not_after:%Y-%m-%d}"
    status: Status = "ok"
    public = settings.tls == "auto"
    if not shown.is_for(settings.domain):
        status, said = "failure", f"{said}, and is not for {settings.domain}"
    elif shown.seconds_left <= 0:
        status, said = "failure", f"{said}: it has ended"
    elif public and not shown.trusted:
        status, said = "failure", f"{said}, and is of no authority that machines know"
    elif public and shown.seconds_left < RENEWED_SECONDS:
        status, said = "warning", f"{said}: it ought to have been renewed"
    remedy = "" if status == "ok" else "launchdb doctor domain; launchdb logs reverse-proxy says more"
    return PlatformFinding("certificate", status, said, remedy)


def disk(_tx: Transaction, settings: Settings) -> Iterator[PlatformFinding]:
    """Look at the room on each disk that the installation writes to."""
    for folder, free in disk_spaces(settings):
        said = f"{free} MB are free where {folder} lies; {settings.disk_reserve_mb} are kept free"
        if free >= settings.disk_reserve_mb:
            yield PlatformFinding("disk", "ok", said, subject=str(folder))
        else:
            remedy = "free some space, or enlarge the disk: until then no project and no backup is begun"
            yield PlatformFinding("disk", "failure", said, remedy, subject=str(folder))


def workers(tx: Transaction, _settings: Settings) -> Iterator[PlatformFinding]:
    """Return whether somebody works."""
    for queue, live in tx.connection.execute(SQL.workers).fetchall():
        if live:
            yield PlatformFinding("workers", "ok", f"{live} serve the queue {queue}", subject=queue)
        else:
            remedy = "launchdb status names its log; start one with: launchdb worker"
            yield PlatformFinding("workers", "failure", f"nobody serves the queue {queue}", remedy, subject=queue)


def projects(tx: Transaction, _settings: Settings) -> Iterator[PlatformFinding]:
    """Name the projects that are not as they should be."""
    rows = tx.rows(SQL.ailing, states.SETS)
    for row in rows[:MOST_NAMED]:
        said = f"{row['name']} is {row['status']}: {row['reason']}"
        remedy = "a reconcile mends it" if row["settled"] else "launchdb jobs list shows the job that failed"
        status: Status = "warning" if row["settled"] else "failure"
        yield PlatformFinding("projects", status, said, remedy, fixable=row["settled"], subject=row["id"])
    if len(rows) > MOST_NAMED:
        said = f"{len(rows) - MOST_NAMED} more are not as they should be"
        yield PlatformFinding("projects", "warning", said, "launchdb projects list", fixable=True)
    if not rows:
        yield PlatformFinding("projects", "ok", "all are as they should be")


def watchdog(tx: Transaction, _settings: Settings) -> Iterator[PlatformFinding]:
    """Name the projects of which sessions were ended within the last minutes."""
    found = endings.recent(tx, RECENT_MINUTES)
    for one in found[:MOST_NAMED]:
        said = f"{one.name}: {one.reason}; {one.done} {one.ended} times since {one.first_at:%Y-%m-%d %H:%M}"
        remedy = (
            f"its owner was written; launchdb audit list names each; launchdb projects pause {one.project_id} stops it"
        )
        yield PlatformFinding("watchdog", "warning", said, remedy, subject=one.project_id)
    if len(found) > MOST_NAMED:
        said = f"{len(found) - MOST_NAMED} more went beyond what they may"
        yield PlatformFinding("watchdog", "warning", said, "launchdb audit list")
    full = catalogue.at_quota(tx)
    for near in full[:MOST_NAMED]:
        is_over = near.state == "over"
        said = f"{near.name} is {'over' if is_over else 'near'} its quota of {near.quota // 1048576} MB"
        remedy = "its owner deletes what is not needed, or an operator raises databaseQuotaMb"
        yield PlatformFinding("watchdog", "warning" if is_over else "info", said, remedy, subject=near.id)
    if not found and not full:
        yield PlatformFinding("watchdog", "ok", f"nothing had to be ended for {RECENT_MINUTES} minutes")


def claims(tx: Transaction, _settings: Settings) -> Iterator[PlatformFinding]:
    """Name what in projects is open to everybody because it asks for a login that no request has."""
    rows = tx.rows(SQL.mistaken)
    for row in rows[:MOST_NAMED]:
        said = (
            f"{row['name']}: {'; '.join(row['found'])} asks whether session_user is 'authenticator', which it never is "
            "here: what it guards may be open to everybody"
        )
        remedy = "its owner writes session_user LIKE '%\\_authenticator' there instead (docs/data-api.md)"
        yield PlatformFinding("claims", "warning", said, remedy, subject=row["id"])
    if len(rows) > MOST_NAMED:
        yield PlatformFinding(
            "claims", "warning", f"{len(rows) - MOST_NAMED} more have such guards", "launchdb audit list"
        )
    if not rows:
        yield PlatformFinding("claims", "ok", "no project asks for a login that no request has")


CHECKS: dict[str, Callable[[Transaction, Settings], Iterator[PlatformFinding]]] = {
    "registration": registration,
    "secrets": secrets,
    "certificate": certificate,
    "disk": disk,
    "workers": workers,
    "projects": projects,
    "watchdog": watchdog,
    "claims": claims,
}


def run_checks(tx: Transaction, settings: Settings) -> list[PlatformFinding]:
    """Run every check. One that cannot look is a finding of its own; Unavailable is left to the caller's database."""
    found: list[PlatformFinding] = []
    for name, look in CHECKS.items():
        try:
            found += look(tx, settings)
        except InfraError as error:
            found.append(PlatformFinding(name, "failure", f"could not be looked at: {error}", "see to that first"))
    return found


def databases_to_serve(tx: Transaction) -> set[str]:
    """Return the ids of the projects that a pooler should serve."""
    return {row["id"] for row in tx.rows(SQL.served)}


def fix(tx: Transaction, check: str, *, by: str, request_id: str) -> list[Job]:
    """Begin the jobs that mend what a check finds; none, when there is nothing to mend. Raises NoSuchCheck."""
    if check != "projects":
        known = "a person has to" if check in CHECKS else "there is no such check"
        raise NoSuchCheck(f"no job mends {check}: {known}")
    rows = tx.rows(SQL.ailing, states.SETS)
    return [
        enqueue(tx, ReconcileProject(row["id"]), by=by, owner_id=row["owner_id"], request_id=request_id)
        for row in rows
        if row["settled"]
    ]
