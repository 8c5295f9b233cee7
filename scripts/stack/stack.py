"""One installation in containers: its home, its settings, its compose project."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from config.installation import settings_of
from config.settings import CHECKOUT, Settings
from infra.errors import InfraError, Refused, Unavailable
from infra.host import compose, docker_cli
from infra.instances.containers import shape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from infra.host.compose import Compose
    from infra.host.docker_cli import ContainerStatus

    Tell = Callable[[str], None]

# Of the services, in the checkout and below the code in an image.
FILE = "compose/compose.yaml"
CODE = "/opt/launchdb-app"
API = "launchdb-platform-api"
POSTGRES = "launchdb-postgres"
# In the order in which they start.
NAMES = {
    "postgres": POSTGRES,
    "pgbouncer": "launchdb-pgbouncer",
    "redis": "launchdb-redis",
    "migrations": "launchdb-migrations",
    "broker": "launchdb-broker",
    "platform-api": API,
    "postgrest-manager": "launchdb-postgrest-manager",
    "auth-service": "launchdb-auth-service",
    "storage-service": "launchdb-storage-service",
    "worker": "launchdb-worker",
    "worker-bulk": "launchdb-worker-bulk",
    "scheduler": "launchdb-scheduler",
    "backup": "launchdb-backup",
    "reverse-proxy": "launchdb-caddy",
}
IMAGES = ("app", "postgres", "pgbouncer", "redis", "caddy", "backup", "data-api")
WELL_SECONDS = 300.0
LOOK_SECONDS = 0.5
# Docker waits ever longer before it starts again what has died: these are some seven times.
DYING_SECONDS = 10.0
PROJECTS = "postgrest-proj_"


@dataclass(frozen=True)
class Stack:
    """What every host command works on. given: a compose file other than the version's own."""

    home: Path
    settings: Settings
    given: Compose | None = None

    @classmethod
    def of(cls, home: Path) -> Stack:
        """Look at the home. Raises SettingsError, or Refused when the containers are another's."""
        refuse_others(home)
        return cls(home, settings_of(home))

    @cached_property
    def compose(self) -> Compose:
        """Compose with the services as the version that runs here has them, whatever the checkout is by now.

        Raises Refused without Compose, Unavailable.
        """
        return self.given or compose.find(services_of(self.settings.version), self.home / ".env")

    def containers(self, asked: Collection[str] | None = None) -> list[ContainerStatus]:
        """Return our own containers, one for each service, in the order in which they start; "missing" ones, too.

        asked  the names of those that are asked whether they are well where Docker does not know; None: all
        """
        there = {one.name: one for one in docker_cli.containers(project=compose.PROJECT, asked=asked)}
        absent = [
            docker_cli.ContainerStatus(name, "missing", "", None, "", service)
            for service, name in NAMES.items()
            if name not in there
        ]
        order = list(NAMES.values())
        known = [*there.values(), *absent]
        return sorted(known, key=lambda one: order.index(one.name) if one.name in order else len(order))

    def projects(self) -> list[ContainerStatus]:
        """Return the containers of this installation's projects."""
        return docker_cli.containers(label=f"{shape.INSTALLATION}={shape.installation_label(self.home)}")


def services_of(version: str) -> bytes:
    """Return the compose file of a version: its image's, which alone says how it is started.

    Raises Refused, Unavailable.
    """
    image = f"launchdb/app:{version}"
    if docker_cli.image_exists(image):
        return docker_cli.run_in_image(image, "cat", f"{CODE}/{FILE}").encode()
    return (CHECKOUT / FILE).read_bytes()


def refuse_others(home: Path) -> None:
    """Raise Refused when this machine's containers are of another home: their names are the same for all."""
    for other in sorted(compose.homes() - {str(home)}):
        if (Path(other) / ".env").exists():  # else the home was moved, and this is the same one
            raise Refused(
                f"the containers here belong to the installation in {other}, not to {home}; "
                f"set LAUNCHDB_HOME={other} to work on it, or stop it so first: a machine has room for one"
            )


def require_images(version: str) -> None:
    """Raise Refused, naming them, when images of a version are not here."""
    absent = [
        f"launchdb/{name}:{version}" for name in IMAGES if not docker_cli.image_exists(f"launchdb/{name}:{version}")
    ]
    if absent:
        raise Refused(f"these images are missing: {', '.join(absent)}; scripts/build-images makes them")


def wait_until_well(
    stack: Stack,
    tell: Tell,
    *,
    services: Sequence[str] = (),
    seconds: float = WELL_SECONDS,
    told: set[str] | None = None,
) -> None:
    """Wait until the services, or all, run and are healthy; tell of each that has become so, and how many have.

    told  of which this was said already, where all are waited for part by part

    One that was being stopped by a command that was cut short ends later and stays so: it is started, once.

    Raises Unavailable, naming the command that shows the log, for those that have not in time, and as soon as one is
    seen to die again and again.
    """
    wanted, looked = [NAMES[service] for service in services] or list(NAMES.values()), time.monotonic()
    told, of = (set(), len(wanted)) if told is None else (told, len(NAMES))
    deadline, started = looked + seconds, set[str]()
    dying: dict[str, float] = defaultdict(float)
    while True:
        ill = []
        # Seconds, not looks: on a busy machine a look takes longer than the pause between two.
        since, looked = looked, time.monotonic()
        for one in (one for one in stack.containers(set(wanted) - told) if one.name in wanted):
            # Who was well is not asked again: each question is a process, and Docker's own word may be old.
            if not one.is_well and not (one.name in told and one.state == "running"):
                ill.append(one)
                dying[one.name] += looked - since if one.state == "restarting" else 0.0
                if one.state == "exited" and one.name not in started:
                    _start(one, started, tell)
            elif one.name not in told:
                told.add(one.name)
                tell(f"{one.name} is {one.health or one.state} ({len(told)} of {of})")
        if not ill:
            return
        if time.monotonic() > deadline or max(dying.values()) > DYING_SECONDS:
            raise Unavailable("; ".join(describe_problem(one) for one in ill))
        time.sleep(LOOK_SECONDS)


def _start(one: ContainerStatus, started: set[str], tell: Tell) -> None:
    started.add(one.name)
    tell(f"{one.name} was stopped; starting it")
    docker_cli.run_docker("start", one.name)


def describe_problem(one: ContainerStatus) -> str:
    """Return what is wrong with a container, and where its last words are."""
    # The health of one that does not run is that of before.
    said = one.health if one.state == "running" and one.health else one.state
    return f"{one.name} is {said}: see `launchdb logs {one.service or one.name}`"


def record_in_audit(action: str, detail: dict[str, str], tell: Tell) -> None:
    """Write what was done from the host into the audit; tell where it cannot be."""
    try:
        docker_cli.execute(API, ["launchdb", "audit", "record", action, "--detail", json.dumps(detail)], seconds=60)
    except InfraError as error:
        tell(f"the audit could not be written: {error}")
