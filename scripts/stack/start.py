"""Start and stop: what `launchdb up --docker` and `launchdb down` do, in order, and what is kept meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra import files
from infra.edge.proxy import CaddyProxy
from infra.errors import InfraError, Refused, Unavailable
from infra.host import caddyfile, docker_cli, home
from infra.pipeline import ProgramFailed
from scripts.stack import checkout, edge, stack
from scripts.stack.stack import NAMES, POSTGRES, Stack, record_in_audit, require_images, wait_until_well

if TYPE_CHECKING:
    from scripts.stack.stack import Tell

# First whoever would put right what is about to be stopped.
WATCHERS = ("scheduler", "worker", "worker-bulk")
PROXY, DATABASE = "reverse-proxy", "postgres"
# Without one of these nobody could be held back.
HOLDS = ("pgbouncer", "migrations")
MIGRATIONS = NAMES["migrations"]
# In an update the program that runs is still the one before, which may have had it elsewhere.
POOLING = ("jobs.projects.pooling", "jobs.pooling")
# Clients are let wait for a minute. Ended inside: a client of Docker's that is killed leaves what it began going on.
HOLD_SECONDS, EXECUTE_SECONDS = 30, 60.0
ANSWER_SECONDS = 90.0
PULL_SECONDS = 600.0
# Caddy first: until there is somebody behind it, it tells clients when to come again. PgBouncer needs migrations' file.
STAGES = ((PROXY, DATABASE, "redis", "broker"), ("migrations", "pgbouncer"))
STOPPED = "run/stopped"
# What was stopped on purpose is not started by scripts/mend, which looks for this.
DOWN = ".down"
VOLUME = "launchdb-postgres-data"
LOOK_PATIENCE = 60.0


def bring_up(there: Stack, tell: Tell) -> None:
    """Start every service until it is healthy, and the projects' containers that `down` has stopped.

    Raises Refused, or Unavailable naming the log of what does not come up.
    """
    files.read(there.home / ".env")  # refused when others can, too
    if home.complete(there.home, there.settings.instances_folder):
        _change_logins(tell)
    (there.home / DOWN).unlink(missing_ok=True)
    require_images(there.settings.version)
    _have_data_api(there, tell)
    _refuse_others_data(there, tell)
    ran = {one.service for one in there.compose.containers() if one.state == "running"}
    changed = caddyfile.write_caddyfile(there.settings)
    # The Compose of today looks at an image's id besides.
    replaced = there.compose.differs(DATABASE) or not checkout.is_running_version(there.settings.version, DATABASE)
    if replaced and {DATABASE, *HOLDS} <= ran:
        restart_postgres(there, tell)
    _start_in_order(there, tell)
    if changed and PROXY in ran:
        _let_caddy_read(there, tell)
    start_projects(there, tell)
    wait_until_it_answers(there, tell)


def _start_in_order(there: Stack, tell: Tell) -> None:
    """Start every service, each when those that it needs are well. Raises Refused, Unavailable."""
    has, told = there.compose.services(), set[str]()
    rest = [service for service in has if service not in {one for stage in STAGES for one in stage}]
    for stage in (*STAGES, rest):
        there.compose.up(*(service for service in stage if service in has), dependants=False, tell=tell)
        wait_until_well(there, tell, services=stage, told=told)


def _change_logins(tell: Tell) -> None:
    """Have the logins take the passwords that services have by now; where migrations is not up, its start does that."""
    if not docker_cli.is_running(MIGRATIONS):
        return
    try:
        docker_cli.execute(MIGRATIONS, ["python", "-P", "-m", "infra.embedded.prepare"], seconds=EXECUTE_SECONDS)
        tell("the services' logins are as their secrets say")
    except InfraError as error:
        tell(f"the services' logins could not be looked at: {error}")


def restart_postgres(there: Stack, tell: Tell) -> None:
    """Replace the container of Postgres while nobody works in it; clients of projects wait instead of failing.

    Workers end the step they are in, and go on with the next after it. Raises Refused, Unavailable.
    """
    tell("Postgres is restarted: workers end their steps, clients of projects wait")
    there.compose.stop(*WATCHERS, tell=tell)
    _tell_pooler("hold", tell)
    try:
        there.compose.up(DATABASE, dependants=False, tell=tell)
        wait_until_well(there, tell, services=[DATABASE])
    finally:
        _tell_pooler("resume", tell)
    record_in_audit("platform.restart", {"service": DATABASE}, tell)


def _tell_pooler(errand: str, tell: Tell) -> None:
    limit = ("timeout", "--kill-after=1", str(HOLD_SECONDS))
    for module in POOLING:
        try:
            docker_cli.execute(
                NAMES["migrations"], [*limit, "python", "-P", "-m", module, errand], seconds=EXECUTE_SECONDS
            )
        except InfraError as error:  # a restart with failures is better than none
            if module != POOLING[-1] and "No module named" in str(error):
                continue
            tell(f"the pooler could not be told to {errand}: {error}")
        return


def _refuse_others_data(there: Stack, tell: Tell) -> None:
    """Raise Refused when the databases that are here were made with other secrets: nobody but Postgres can say.

    Asked only where a home has never been up.
    """
    if (there.home / "operator.json").exists() or not docker_cli.volume_exists(VOLUME):
        return
    there.compose.up("postgres", tell=tell)
    wait_until_well(there, tell, services=["postgres"])
    try:
        docker_cli.execute(POSTGRES, ["psql", "-Atc", "SELECT 1"], seconds=LOOK_PATIENCE)
    except ProgramFailed as error:
        if "password authentication failed" not in error.said:
            raise
        there.compose.down(tell=tell)
        raise Refused(
            f"the volume {VOLUME} holds the databases of an installation with other secrets than {there.home}/secrets; "
            f"set LAUNCHDB_HOME to its home, or, if nobody needs them, remove them: docker volume rm {VOLUME}"
        ) from error


def _let_caddy_read(there: Stack, tell: Tell) -> None:
    """Have Caddy load the file that it did not start with; no request of its clients is lost. Raises Refused."""
    try:
        CaddyProxy(there.settings).apply()
        tell("Caddy has read its new file")
    except Unavailable:
        there.compose.restart(PROXY, tell=tell)


def _have_data_api(there: Stack, tell: Tell) -> None:
    """Ensure that the image of the data APIs is here, and return which it is.

    Raises Refused when it cannot be pulled.
    """
    image = there.settings.data_api
    if not docker_cli.image_exists(image):
        tell(f"pulling {image}")
        try:
            docker_cli.run_docker("pull", "--quiet", image, timeout_seconds=PULL_SECONDS)
        except InfraError as error:
            raise Refused(
                f"{image} cannot be pulled ({error}); leave LAUNCHDB_DATA_API_IMAGE empty in .env for our own"
            ) from error
    tell(f"data APIs run {image}")


def wait_until_it_answers(there: Stack, tell: Tell, seconds: float = ANSWER_SECONDS) -> None:
    """Wait for the public URL; the first certificate takes a while. Raises Unavailable."""
    deadline, said = time.monotonic() + seconds, False
    while not edge.answers(there.settings):
        if there.settings.tls == "auto" and not said:
            tell("waiting for the first certificate; this takes 30 to 60 seconds")
            said = True
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{there.settings.base_url} does not answer through Caddy after {seconds:g} s; "
                "see `launchdb logs reverse-proxy`"
            )
        time.sleep(stack.LOOK_SECONDS)
    tell(f"API answers on {there.settings.base_url}")


def take_down(there: Stack, tell: Tell, *, volumes: bool = False) -> bool:
    """Stop everything in order and remove our containers; data and projects are kept. Say whether anything ran."""
    files.replace(there.home / DOWN, "")
    running = [one for one in there.compose.containers() if one.state == "running"]
    # One that dies again and again is begun anew by Docker until somebody stops it.
    projects = {one.name for one in there.projects() if one.state in ("running", "restarting", "paused")}
    if running:
        tell("stopping the scheduler and the workers")
        there.compose.stop(*WATCHERS, tell=tell)
    if projects:
        tell(f"stopping {len(projects)} containers of projects")
        path = there.home / STOPPED
        # Whoever cut an earlier stop short has written down what that has stopped.
        known = projects | set(files.read(path, private=False).split())
        files.replace(path, "".join(f"{name}\n" for name in sorted(known)))
        docker_cli.run_docker("stop", *sorted(projects), timeout_seconds=600)
    tell("stopping everything else")
    there.compose.down(tell=tell, volumes=volumes)
    return bool(running or projects)


def start_projects(there: Stack, tell: Tell) -> None:
    """Start the projects' containers that `take_down` has stopped; what became of the others is the sweep's."""
    path = there.home / STOPPED
    names = set(files.read(path, private=False).split()) & {
        one.name for one in there.projects() if one.state == "exited"
    }
    if names:
        tell(f"starting {len(names)} containers of projects")
        docker_cli.run_docker("start", *sorted(names), timeout_seconds=600)
    path.unlink(missing_ok=True)
