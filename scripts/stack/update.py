"""Update and rollback: one service after the other, judged at the end, and taken back when it is not well."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from config.installation import settings_of
from infra import files
from infra.errors import InfraError, Refused
from infra.host import docker_cli, home
from infra.host.home import LAUNCHDB
from infra.secrets import secretfiles
from scripts.stack import checkout, versions
from scripts.stack.interruption import run_or_undo
from scripts.stack.stack import API, NAMES, POSTGRES, record_in_audit, require_images, wait_until_well
from scripts.stack.start import DATABASE, restart_postgres, wait_until_it_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.stack.checkout import Checkout
    from scripts.stack.stack import Stack, Tell
    from scripts.stack.versions import VersionHistory

    Probe = Callable[[Stack], bool]

# Old programs run on the new schema, so it comes first; who serves others comes before who is served. Those for whom no
# client waits change together.
ROLLING = (
    ("migrations",),
    ("broker",),
    ("auth-service", "storage-service"),
    ("platform-api",),
    ("postgrest-manager",),
    ("worker", "worker-bulk", "scheduler"),
    ("backup",),
)
# On which Caddy, which is not made anew here, finds the services of this version.
FRONT = "launchdb-front"
# Restarting these is felt by clients: only when what is in their image has changed.
SERVERS = {"reverse-proxy": "caddy", "pgbouncer": "pgbouncer", "redis": "redis", "postgres": "postgres"}
# Who can say which schema there is. The second is changed first: of a change that was cut short it alone may know more.
WITNESSES = (API, NAMES["migrations"], NAMES["worker"], NAMES["scheduler"], NAMES["backup"])
ROLL_SECONDS = 180.0


@dataclass(frozen=True)
class UpdateResult:
    """How it ended: the version that runs now, and the one before it."""

    version: str
    previous: str


def prepare_update(there: Stack, wanted: str | None, code: Checkout, tell: Tell) -> str:
    """Ensure that the images are here of the version that an update is about; return its name.

    What was built in the place of the version that runs leaves that under another name, and goes out of its way when
    not all could be built. Raises Refused or Unavailable.
    """
    _require_running()
    if wanted and checkout.has_images(wanted, *code.needs):
        return wanted
    settled = past = versions.read(there.home, there.settings.version)
    new = code.take_out(wanted, tell) if wanted else code.version()
    if new == past.running:
        past = replace(past, running=_kept(new))
        if not checkout.is_running_version(past.running):
            checkout.tag_images(new, past.running)
    past = replace(past, begun=new, by=versions.UPDATE)
    versions.write(there.home, past)

    def build() -> None:
        code.build(new, tell)
        require_images(new)

    run_or_undo(build, lambda _reason: _forget(there, past, settled))
    versions.write(there.home, settled)
    return new


def update(there: Stack, new: str, probe: Probe, tell: Tell, *, backup: bool = True) -> UpdateResult:
    """Roll the installation to a version whose images are here; when it is not well then, the one before runs again.

    One that was cut short goes on, and knows what ran before it. Raises Refused or Unavailable; the message says what
    runs.
    """
    _require_running()
    settled = past = versions.read(there.home, there.settings.version)
    # Whoever built images in the place of those that run keeps these.
    if new == past.running and checkout.is_running_version(_kept(new)):
        past = replace(past, running=_kept(new))
    past = replace(past, begun=new, by=versions.UPDATE)
    versions.write(there.home, past)

    def secure() -> None:
        require_images(new)
        _refuse_other_postgres(new)
        if backup:
            tell("backing up the platform and every project")
            docker_cli.execute(API, ["launchdb", "backups", "create", "--all"])

    run_or_undo(secure, lambda _reason: _forget(there, past, settled))
    return _change(there, past, probe, tell)


def prepare_rollback(there: Stack, wanted: str | None, code: Checkout, tell: Tell) -> str:
    """Ensure that the images are here of the version that a rollback is about; return its name.

    Without a name it is the version before, or of a change that was cut short the one that it began at. Raises Refused
    or Unavailable.
    """
    _require_running()
    past = versions.read(there.home, there.settings.version)
    cut_short = {"": past.previous, versions.UPDATE: past.running, versions.ROLLBACK: past.begun}
    target = wanted or cut_short[past.by]
    if not target:
        raise Refused("no earlier version is known; name one: launchdb rollback VERSION")
    if not checkout.has_images(target):
        target = code.take_out(target, tell)
        code.build(target, tell)
    return target


def rollback(there: Stack, target: str, probe: Probe, tell: Tell) -> UpdateResult:
    """Allow an earlier version to run again, whose images are here.

    Raises Refused when the schema has changed in a way it cannot live with.
    """
    _require_running()
    past = versions.read(there.home, there.settings.version)
    require_images(target)
    _refuse_other_postgres(target)
    refuse_irreversible(applied_migrations(), checkout.migrations_of(target), target)
    past = replace(past, begun=target, by=versions.ROLLBACK)
    versions.write(there.home, past)
    return _change(there, past, probe, tell)


def _forget(there: Stack, begun: VersionHistory, settled: VersionHistory) -> None:
    """Take back an update that has changed no service: what it built in the place of what runs goes out of its way."""
    if begun.running != settled.running:
        checkout.tag_images(begun.running, begun.begun)
    versions.write(there.home, settled)


def _kept(name: str) -> str:
    return f"{name}-previous"


def refuse_irreversible(found: list[dict[str, Any]], known: set[str], target: str) -> None:
    """Raise Refused, naming them, for applied migrations that a version does not know and cannot live with."""
    wrong = [row["version"] for row in found if row["version"] not in known and not row["reversible"]]
    if wrong:
        raise Refused(
            f"{target} cannot run on this schema: {', '.join(wrong)} cannot be taken back. "
            "Restore the backup from before the update instead (docs/backups.md)"
        )


def applied_migrations() -> list[dict[str, Any]]:
    """Return the schema migrations that the platform's database has. Raises Refused, Unavailable.

    Whichever of our containers can say it: the one that is asked first may be what has to be rolled back. Others are
    asked as long as there is one that nobody has called reversible: in the middle of a change not all know all.
    """
    faults: list[InfraError] = []
    found: dict[str, dict[str, Any]] = {}
    for name in WITNESSES:
        try:
            said = docker_cli.execute(name, ["launchdb", "db", "schema", "--json"], seconds=60)
        except InfraError as error:
            faults.append(error)
            continue
        merge_told(found, json.loads(said)["migrations"])
        if all(row["reversible"] for row in found.values()):
            break
    if faults and not found:
        raise faults[0]
    return list(found.values())


def merge_told(found: dict[str, dict[str, Any]], told: list[dict[str, Any]]) -> None:
    """Add what one program tells of migrations: who has the file knows more than who only sees that it was applied."""
    for row in told:
        if row["reversible"] or row["version"] not in found:
            found[row["version"]] = row


def _change(there: Stack, past: VersionHistory, probe: Probe, tell: Tell) -> UpdateResult:
    old, new, action = past.origin(there.settings.version), past.begun, f"platform.{past.by}"

    def change() -> None:
        if not probe(_roll(there, old, new, tell)):
            raise Refused("the verification failed")

    def take_back(error: BaseException) -> None:
        reason = str(error) or "it was interrupted"
        tell(f"{new} is not well: {reason}; going back to {old}")
        back = _roll(there, new, old, tell)
        versions.write(there.home, past.completed(old))
        record_in_audit(action, {"from": old, "to": new, "outcome": "taken back", "reason": reason[:300]}, tell)
        state = "runs again" if probe(back) else "runs again and is not well either; see `launchdb status`"
        raise Refused(f"{new} was not well ({reason}); {old} {state}") from error

    run_or_undo(change, take_back)
    ended = past.completed(new)
    versions.write(there.home, ended)
    record_in_audit(action, {"from": old, "to": new, "outcome": "done"}, tell)
    return UpdateResult(new, ended.previous)


def _roll(there: Stack, old: str, new: str, tell: Tell) -> Stack:
    """Change one service after the other; nobody who depends on it is touched. Raises Unavailable, Refused."""
    dotenv = there.home / ".env"
    text = secretfiles.with_lines(files.read(dotenv), {"LAUNCHDB_VERSION": new})
    files.replace(dotenv, text, owner=(LAUNCHDB, LAUNCHDB))
    changed = replace(there, settings=settings_of(there.home))
    home.complete(there.home, changed.settings.instances_folder)
    servers = [service for service, image in SERVERS.items() if _differ(image, old, new)]
    has = set(changed.compose.services())
    for group in (*((server,) for server in servers[::-1]), *ROLLING):
        services = [service for service in group if service in has]
        for service in services:
            tell(f"{NAMES[service]}: {new}")
        if services == [DATABASE]:
            restart_postgres(changed, tell)
        elif services:
            if API in map(NAMES.__getitem__, services):
                _join_front(NAMES["reverse-proxy"])
            changed.compose.up(*services, dependants=False, tell=tell)
            wait_until_well(changed, lambda _line: None, services=services, seconds=ROLL_SECONDS)
    wait_until_well(changed, tell, services=[name for name in NAMES if name in has], seconds=ROLL_SECONDS)
    wait_until_it_answers(changed, tell)
    return changed


def _join_front(caddy: str) -> None:
    """Ensure that the Caddy that runs is on the network of who stands behind it, where there is one by now."""
    joined = docker_cli.run_docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", caddy)
    there = docker_cli.run_docker("network", "ls", "--format", "{{.Name}}").split()
    if FRONT in there and FRONT not in json.loads(joined):
        docker_cli.run_docker("network", "connect", "--alias", "reverse-proxy", FRONT, caddy)


def _differ(image: str, old: str, new: str) -> bool:
    """Return that by what runs: a change that was cut short may have come to some of them only."""
    named = f"launchdb/{image}"
    layers = [docker_cli.run_docker("image", "inspect", "--format", "{{.RootFS.Layers}}", one)
              for one in (checkout.running_image_id(image) or f"{named}:{old}", f"{named}:{new}")]  # fmt: skip
    return layers[0] != layers[1]


def _require_running() -> None:
    if not docker_cli.is_running(POSTGRES):
        raise Refused(f"{POSTGRES} does not run: start the installation first (`launchdb up --docker --detach`)")


def _refuse_other_postgres(new: str) -> None:
    running = docker_cli.execute(POSTGRES, ["ls", "/usr/lib/postgresql"], seconds=30).split()
    coming = checkout.postgres_of(new)
    if coming and running and coming not in running:
        raise Refused(
            f"{new} brings Postgres {coming}, and the data are of {running[-1]}: its files cannot be taken over. "
            "Back up, start the new version with an empty home, and restore there (docs/backups.md)"
        )
