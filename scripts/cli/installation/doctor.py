"""launchdb doctor: what is wrong with the machine and the installation, what to do about it, and doing it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import click
import httpx

from config import installation
from config.settings import SettingsError
from infra.doctor import checks as _checks  # noqa: F401 - registers them
from infra.doctor import findings as register
from infra.doctor.findings import Finding
from infra.doctor.site import Site
from infra.errors import InfraError, Refused
from infra.host import docker_cli
from jobs.requests import doctor as platform
from scripts.cli import inside
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import DONE, FAILURE, USAGE, CliError
from scripts.cli.jobs.progress import wait_for_job
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note
from scripts.cli.target import open_home
from scripts.stack.stack import refuse_others

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.doctor.findings import Check

RENDER_SECONDS, MEND_SECONDS = 90.0, 3600.0
# What the platform finds wrong with itself.
GROUP = "platform"


@click.command()
@click.argument("check", required=False)
@click.option("--fix", is_flag=True, help="Mend what can be mended, and look again.")
@json_option
@pass_session
def doctor(session: CliSession, check: str | None, *, fix: bool, as_json: bool) -> int:
    """Look for what is wrong: all, or one CHECK or group (`host`, `platform`); exit 1 when something does not work.

    `doctor host` is for the machine alone, before anything is installed. `outbound` is only run when it is named.
    """
    settings = _settings(session)
    if fix and _is_outside(session):
        refuse_others(settings.home)
    containers = settings.runtime != "embedded"
    chosen = register.select_checks(check, containers=containers)
    asked = _asked(session, check)
    there = _Inside() if _is_outside(session) else _Platform(session)
    if not chosen and not asked:
        known = sorted({*register.CHECKS, *(name.split(".")[0] for name in register.CHECKS), GROUP, *platform.CHECKS})
        raise CliError(f"there is no check {check}; there are {', '.join(known)}", USAGE)
    site = Site(settings, root=settings.host_root, projects=lambda: _projects(session))
    site.render = lambda: _rendered(site)
    found, told = _looked(site, chosen), []
    found += _of_platform(there, asked)
    if fix:
        told = _mended(there, site, chosen, found)
        found = _looked(site, chosen) + _of_platform(there, asked)
    if as_json:
        print_json({"findings": [asdict(one) for one in found], "fixed": told})
    else:
        _show(found, told)
    return FAILURE if any(one.status == "failure" for one in found) else DONE


def _settings(session: CliSession) -> Settings:
    """Return what the installation runs with: on the host of containers that is what its `.env` says."""
    home = installation.find_home()
    if home is None or not _is_outside(session):
        return session.settings
    mine = {"host_root": session.settings.host_root}
    try:
        return installation.settings_of(home).model_copy(update=mine)
    except SettingsError as error:
        # What is wrong there may be just what is to be mended.
        print_note(f"{home}/.env: {error}")
        return session.settings.model_copy(update={"home": home, "runtime": "broker"})


def _rendered(site: Site) -> bool:
    """Have a worker write the pooler's files from the catalogue; say whether one could be asked."""
    worker = f"{site.prefix}worker"
    try:
        docker_cli.execute(worker, ["python", "-P", "-m", "jobs.projects.pooling"], seconds=RENDER_SECONDS)
    except InfraError:
        return False
    return True


def _asked(session: CliSession, check: str | None) -> list[str]:
    """Return the checks to ask the platform for: all where there is one, or those that are named."""
    if check is not None:
        return [name for name in platform.CHECKS if check in (name, GROUP)]
    is_there = session.settings.database_url or session.environment.url or _is_outside(session)
    return list(platform.CHECKS) if is_there else []


def _is_outside(session: CliSession) -> bool:
    """Return whether this is the host of an installation in containers, whose API is asked inside."""
    return installation.find_home() is not None and not session.environment.url


class _Asked(Protocol):
    """Whoever knows what the platform finds wrong with itself."""

    def findings(self) -> list[dict[str, Any]]:
        """Return what every check found, as `GET /api/admin/doctor` has it."""

    def mend(self, check: str) -> list[str]:
        """Begin and await the jobs that mend what a check found; return a line for each that was done."""


@dataclass(frozen=True)
class _Platform:
    """The platform, asked by its API."""

    session: CliSession

    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.session.client.get("/api/admin/doctor")["findings"]
        return found

    def mend(self, check: str) -> list[str]:
        client = self.session.client
        answer = client.post(f"/api/admin/doctor/{check}/fix")
        done = [wait_for_job(client, {"job": job}, wait=True, timeout=None)["job"] for job in answer["jobs"]]
        said = ", ".join(_ended(job) for job in done) or "nothing was left to do"
        return [f"{check}: {said}"]


class _Inside:
    """The platform, asked by the same command in its container."""

    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._said("findings", GROUP)
        return found

    def mend(self, check: str) -> list[str]:
        told: list[str] = self._said("fixed", check, "--fix", seconds=MEND_SECONDS)
        return told

    def _said(self, what: str, *words: str, seconds: float = inside.ANSWER_SECONDS) -> Any:
        """Return one part of what it says. Raises Refused when that cannot be read, Unavailable."""
        said = inside.answer("doctor", *words, "--json", seconds=seconds)
        try:
            return json.loads(said)[what]
        except (ValueError, KeyError) as error:
            raise Refused(f"{inside.CONTAINER} does not say what it finds; see `launchdb logs platform-api`") from error


def _ended(job: dict[str, Any]) -> str:
    """Return how a job ended, and why it did not succeed."""
    error: dict[str, Any] = job.get("error") or {}
    why = f" ({error['detail']})" if error.get("detail") else ""
    return f"{job['kind']} {job['status']}{why}"


def _looked(site: Site, chosen: list[Check]) -> list[Finding]:
    return [finding for one in chosen for finding in one.findings(site)]


def _of_platform(there: _Asked, names: list[str]) -> list[Finding]:
    if not names:
        return []
    try:
        found = there.findings()
    except (CliError, InfraError, httpx.HTTPError) as error:
        said = f"the platform could not be asked: {error}"
        return [Finding("failure", said, "launchdb status names what is down", check=GROUP)]
    return [Finding(**one) for one in found if one["check"] in names]


def _mended(there: _Asked, site: Site, chosen: list[Check], found: list[Finding]) -> list[str]:
    """Mend what can be; say of each what was done, or why it was not."""
    told, mends = [], {one.name: one.mend for one in chosen}
    for one in found:
        if one.status not in ("warning", "failure"):
            continue
        mend = mends.get(one.check)
        try:
            if mend is not None and one.fixable:
                told.append(f"{one.check}: {mend(site, one)}")
            elif not one.fixable:
                told.append(f"{one.check}: not mended, since it takes a person: {one.remedy}")
        except (InfraError, OSError) as error:
            told.append(f"{one.check}: not mended: {error}")
    by_jobs = sorted({one.check for one in found if one.fixable and one.check in platform.CHECKS})
    return told + [line for name in by_jobs for line in there.mend(name)]


def _projects(session: CliSession) -> set[str] | None:
    """Return the projects that should be served, or None when nobody can be asked."""
    if not session.settings.database_url:
        return None
    infra = open_home(session.settings)
    try:
        with infra.database.autocommit() as tx:
            return platform.databases_to_serve(tx)
    except InfraError:
        return None
    finally:
        infra.close()


def _show(found: list[Finding], told: list[str]) -> None:
    for line in told:
        print_note(line)
    rows = [(one.check, one.status, one.subject, one.evidence.splitlines()[0]) for one in found]
    print_lines(format_table(("check", "status", "about", "found"), rows))
    for one in found:
        if one.status in ("warning", "failure") and (one.remedy or "\n" in one.evidence):
            print_note(_more(one))


def _more(one: Finding) -> str:
    about = f"{one.check} ({one.subject})" if one.subject else one.check
    more: list[Any] = one.evidence.splitlines()[1:]
    mended = " (--fix does it)" if one.fixable else ""
    return "\n".join([f"{about}: {one.remedy}{mended}", *(f"    {line}" for line in more)])
