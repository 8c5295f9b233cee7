"""launchdb status: what runs, what waits, what is down and what wants somebody; works with parts missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from config import installation
from config.installation import local_url
from config.version import VERSION
from infra.errors import InfraError
from infra.postgres.sql import statements
from jobs.engine import view
from jobs.requests.attention import COLUMNS, wants_attention
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import DONE, FAILURE, CliError
from scripts.cli.installation import status_docker
from scripts.cli.jobs import queues, workers
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note
from scripts.cli.target import is_launchdb, open_home
from scripts.stack.checkout import Checkout

if TYPE_CHECKING:
    from infra.composition import Infra
    from scripts.cli.client import Client

SQL = statements(__file__)


@dataclass
class Service:
    """One part of the installation; since: when it came up, where that is known; log: where its last words are."""

    name: str
    status: str
    detail: str = ""
    log: str | None = None
    since: str | None = None


@dataclass
class StatusReport:
    """What was found.

    version, commit  of the program that looks, where it is no other's installation
    last             when the newest job of each enabled schedule that succeeded ended, None when none has
    """

    url: str
    version: str | None = None
    commit: str | None = None
    logs: str | None = None
    services: list[Service] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    queues: list[dict[str, Any]] = field(default_factory=list)
    projects: dict[str, int] = field(default_factory=dict)
    attention: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, str | None] = field(default_factory=dict)


@click.command()
@json_option
@pass_session
def status(session: CliSession, *, as_json: bool) -> int:
    """Show services, workers, queues, projects and what wants attention; exit 1 when something is down.

    On the host of an installation in containers: these first, each with its health.
    """
    home = installation.find_home()
    if home is not None and not session.environment.url:
        return status_docker.show_status(home, as_json=as_json)
    remote = session.environment.url or not session.settings.database_url
    picture = _from_api(session.client) if remote else _from_home(session)
    if as_json:
        print_json(asdict(picture))
    else:
        print_lines(_lines(picture))
    down = [service for service in picture.services if service.status == "down"]
    for service in down:
        print_note(f"{service.name} is down" + (f"; its log is {service.log}" if service.log else ""))
    return FAILURE if down else DONE


def _from_home(session: CliSession) -> StatusReport:
    """Look at each part by itself, so that one that is away hides no other."""
    settings = session.settings
    logs = settings.home / "log"
    picture = StatusReport(settings.base_url, VERSION, Checkout.here().commit(), str(logs))
    infra = open_home(settings)
    try:
        url = local_url(settings)
        api = Service("api", "up" if is_launchdb(url) else "down", url)
        database = _probed("postgres", _answers(infra))
        picture.services = [api, database, _probed("redis", infra.doorbell.waiting("control") is not None)]
        picture.services += _from_database(infra, picture) if database.status == "up" else _unknown()
    finally:
        infra.close()
    names = {"redis": "valkey"}
    for service in picture.services:
        log = logs / f"{names.get(service.name, service.name)}.log"
        service.log = str(log) if log.exists() else None
    return picture


def _from_database(infra: Infra, picture: StatusReport) -> list[Service]:
    try:
        with infra.database.autocommit() as tx:
            picture.workers = view.workers(tx)
            picture.queues = view.queues(tx)
            picture.projects = {row["status"]: row["count"] for row in tx.rows(SQL.projects)}
            picture.attention = wants_attention(tx, infra.settings)
            picture.last = {row["name"]: view.rfc3339(row["succeeded_at"]) for row in tx.rows(SQL.last)}
            picture.services[1].since = view.rfc3339(tx.value(SQL.postgres_since))
            scheduled = bool(tx.value(SQL.scheduler))
    except InfraError:
        return _unknown()
    return [_worker(picture.workers), Service("scheduler", "up" if scheduled else "down")]


def _unknown() -> list[Service]:
    """Only the database knows of them; asking it again would cost another time-out."""
    return [Service(name, "unknown", "the database knows") for name in ("worker", "scheduler")]


def _probed(name: str, answered: bool) -> Service:
    return Service(name, "up") if answered else Service(name, "down", "does not answer")


def _answers(infra: Infra) -> bool:
    try:
        infra.database.check()
    except InfraError:
        return False
    return True


def _worker(found: list[dict[str, Any]]) -> Service:
    since = min((worker["startedAt"] for worker in found), default=None)
    return Service("worker", "up" if found else "down", f"{len(found)} running", since=since)


def _from_api(client: Client) -> StatusReport:
    """Ask a remote installation; who is no operator there sees less."""
    picture = StatusReport(client.url)
    picture.services = [Service("api", "up" if is_launchdb(client.url) else "down", client.url)]
    if picture.services[0].status == "down":
        return picture
    found = Counter(project["status"] for project in client.pages("/api/projects", "projects"))
    picture.projects = dict(sorted(found.items()))
    try:
        picture.workers = client.get("/api/admin/workers")["workers"]
        picture.queues = client.get("/api/admin/queues")["queues"]
        picture.attention = client.get("/api/admin/attention")["attention"]
    except CliError as error:
        print_note(f"workers and queues are not shown: {error}")
    else:
        picture.services.append(_worker(picture.workers))
    return picture


def _lines(picture: StatusReport) -> list[str]:
    lines = []
    if picture.attention:
        found = ([entry[column] for column in COLUMNS] for entry in picture.attention)
        lines += [*format_table(("wants attention", "of", "because", "job"), found), ""]
    services = ([entry.name, entry.status, entry.since, entry.detail or None] for entry in picture.services)
    lines += format_table(("service", "status", "since", "detail"), services)
    if picture.workers:
        lines += ["", *workers.rows(picture.workers)]
    if picture.queues:
        lines += ["", *queues.rows(picture.queues)]
    if picture.projects:
        lines += ["", *format_table(("projects", "count"), picture.projects.items())]
    if picture.last:
        lines += ["", *format_table(("schedule", "last success"), picture.last.items())]
    lines += ["", f"projects: {sum(picture.projects.values())}; wants attention: {len(picture.attention) or 'nothing'}"]
    if picture.version:
        lines += [f"version: {picture.version}" + (f", commit {picture.commit}" if picture.commit else "")]
    if picture.logs:
        lines += [f"logs: {picture.logs}"]
    return lines
