"""Update and rollback: one service after the other, judged at the end, and taken back when it is not well."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from config.installation import settings_of
from infra import files, secretfiles
from infra.errors import InfraError, Refused
from infra.host import engine
from infra.host.home import LAUNCHDB
from scripts.stack import checkout
from scripts.stack.stack import API, NAMES, POSTGRES, require_images, wait_until_well
from scripts.stack.start import wait_until_it_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.stack.stack import Stack, Tell

    Probe = Callable[[Stack], bool]

# Old programs run on the new schema, so it comes first; who serves others comes before who is served.
ROLLING = (
    "migrations",
    "broker",
    "platform-api",
    "postgrest-manager",
    "worker",
    "worker-bulk",
    "scheduler",
    "auth-service",
    "storage-service",
    "backup",
)
# Restarting these is felt by clients: only when what is in their image has changed.
SERVERS = {"reverse-proxy": "caddy", "pgbouncer": "pgbouncer", "redis": "redis", "postgres": "postgres"}
ROLL_SECONDS = 180.0
HISTORY = "versions.json"


@dataclass(frozen=True)
class Done:
    """How it ended: the version that runs now, and the one before it."""

    version: str
    previous: str


def update(there: Stack, wanted: str | None, probe: Probe, tell: Tell, *, backup: bool = True) -> Done:
    """Let the installation run another version; when it is not well then, the one before runs again.

    Raises Refused or Unavailable; the message says what runs.
    """
    old = there.settings.version
    new = wanted if wanted and checkout.has_images(wanted) else ""
    if new == old and checkout.runs(f"{old}-previous"):
        old = f"{old}-previous"  # whoever built these images has kept those of before
    elif not new:
        new = checkout.take_out(wanted, tell) if wanted else checkout.version()
        if new == old:
            old = f"{new}-previous"
            checkout.keep(new, old)
        checkout.build(new, tell)
    require_images(new)
    _refuse_other_postgres(new)
    if backup:
        tell("backing up the platform and every project")
        engine.execute(API, ["launchdb", "backups", "create", "--all"])
    return _change(there, old, new, probe, tell, "platform.update")


def rollback(there: Stack, wanted: str | None, probe: Probe, tell: Tell) -> Done:
    """Let an earlier version run again. Raises Refused when the schema has changed in a way it cannot live with."""
    target = wanted or history(there).get("previous", "")
    if not target:
        raise Refused("no earlier version is known; name one: launchdb rollback VERSION")
    if not checkout.has_images(target):
        target = checkout.take_out(target, tell)
        checkout.build(target, tell)
    require_images(target)
    _refuse_other_postgres(target)
    refuse_irreversible(applied(), checkout.migrations_of(target), target)
    return _change(there, there.settings.version, target, probe, tell, "platform.rollback")


def refuse_irreversible(found: list[dict[str, Any]], known: set[str], target: str) -> None:
    """Raise Refused, naming them, for applied migrations that a version does not know and cannot live with."""
    wrong = [row["version"] for row in found if row["version"] not in known and not row["reversible"]]
    if wrong:
        raise Refused(
            f"{target} cannot run on this schema: {', '.join(wrong)} cannot be taken back. "
            "Restore the backup from before the update instead (docs/backups.md)"
        )


def applied() -> list[dict[str, Any]]:
    """Return the schema migrations that the platform's database has. Raises Refused, Unavailable."""
    found: list[dict[str, Any]] = json.loads(engine.execute(API, ["launchdb", "db", "schema", "--json"], seconds=60))[
        "migrations"
    ]
    return found


def history(there: Stack) -> dict[str, str]:
    """Return which version ran before this one, if that is known."""
    try:
        found = json.loads((there.home / HISTORY).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _change(there: Stack, old: str, new: str, probe: Probe, tell: Tell, action: str) -> Done:
    try:
        changed = _roll(there, old, new, tell)
        if not probe(changed):
            raise Refused("the verification failed")
    except (InfraError, KeyboardInterrupt) as error:
        tell(f"{new} is not well: {error}; going back to {old}")
        back = _roll(there, new, old, tell)
        _record(action, {"from": old, "to": new, "outcome": "taken back", "reason": str(error)[:300]}, tell)
        state = "runs again" if probe(back) else "runs again and is not well either; see `launchdb status`"
        raise Refused(f"{new} was not well ({error}); {old} {state}") from error
    files.replace(
        there.home / HISTORY, json.dumps({"running": new, "previous": old}) + "\n", owner=(LAUNCHDB, LAUNCHDB)
    )
    _record(action, {"from": old, "to": new, "outcome": "done"}, tell)
    return Done(new, old)


def _roll(there: Stack, old: str, new: str, tell: Tell) -> Stack:
    """Change one service after the other; nobody who depends on it is touched. Raises Unavailable, Refused."""
    dotenv = there.home / ".env"
    text = secretfiles.with_lines(files.read(dotenv), {"LAUNCHDB_VERSION": new})
    files.replace(dotenv, text, owner=(LAUNCHDB, LAUNCHDB))
    changed = replace(there, settings=settings_of(there.home))
    servers = [service for service, image in SERVERS.items() if _differ(image, old, new)]
    for service in (*servers[::-1], *ROLLING):
        tell(f"{NAMES[service]}: {new}")
        changed.compose.up(service, dependants=False, tell=tell)
        wait_until_well(changed, lambda _line: None, services=[service], seconds=ROLL_SECONDS)
    wait_until_well(changed, tell, seconds=ROLL_SECONDS)
    wait_until_it_answers(changed, tell)
    return changed


def _differ(image: str, one: str, other: str) -> bool:
    found = [engine.docker("image", "inspect", "--format", "{{.RootFS.Layers}}", f"launchdb/{image}:{version}")
             for version in (one, other)]  # fmt: skip
    return found[0] != found[1]


def _refuse_other_postgres(new: str) -> None:
    running = engine.execute(POSTGRES, ["ls", "/usr/lib/postgresql"], seconds=30).split()
    coming = checkout.postgres_of(new)
    if coming and running and coming not in running:
        raise Refused(
            f"{new} brings Postgres {coming}, and the data are of {running[-1]}: its files cannot be taken over. "
            "Back up, start the new version with an empty home, and restore there (docs/backups.md)"
        )


def _record(action: str, detail: dict[str, str], tell: Tell) -> None:
    try:
        engine.execute(API, ["launchdb", "audit", "record", action, "--detail", json.dumps(detail)], seconds=60)
    except InfraError as error:
        tell(f"the audit could not be written: {error}")
