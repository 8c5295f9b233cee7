"""Docker's command line, as host commands use it: look at our containers, read their logs, run programs in them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from config.installation import program_environment
from infra import pipeline
from infra.errors import InfraError, Refused, Unavailable
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_SECONDS = 60.0
EXECUTE_SECONDS = 3600.0
# How often containers are listed anew while one goes between list and look.
LOOKS = 10
# What a service has to end what it does.
GRACE_SECONDS = 35
HEALTHY = "healthy"
# When Docker would take a check for failed, too; and how many containers are asked at once.
CHECK_SECONDS, AT_ONCE = 10.0, 8
NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class ContainerStatus:
    """A container as `docker inspect` shows it. health: empty when it has no check; since: when it was started.

    check   the program by which Docker looks whether it is healthy
    mounts  pairs of what is mounted, and where
    ports   what is published, as address:port
    """

    name: str
    state: str
    health: str
    since: str | None
    image: str
    service: str
    check: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    ports: tuple[str, ...] = ()
    log_driver: str = ""
    log_options: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_well(self) -> bool:
        """Running, and healthy where it can say so."""
        return self.state == "running" and self.health in ("", HEALTHY)


def run_docker(*words: str, feed: bytes = b"", timeout_seconds: float = PATIENCE_SECONDS, merged: bool = False) -> str:
    """Run one docker command; return what it printed, with `merged` on either stream.

    Raises Refused, or Unavailable while the daemon is away and where Docker is not installed.
    """
    try:
        return pipeline.run(
            ["docker", *words], timeout_seconds=timeout_seconds, feed=feed, env=program_environment(), merged=merged
        )
    except ProgramFailed as error:
        raise translate_failure(error) from None
    except Refused as error:
        raise Unavailable("Docker is not installed here", dependency="docker") from error


def translate_failure(error: ProgramFailed) -> InfraError:
    """Tell a daemon that is away from a refusal."""
    said = error.said.lower()
    if "cannot connect to the docker daemon" in said or "error during connect" in said:
        said = "Docker does not answer: is dockerd running, and may this user reach its socket?"
        return Unavailable(said, dependency="docker")
    if "permission denied" in said and "docker.sock" in said:
        return Refused("this user may not reach Docker's socket; be root, or join its group")
    return error


def version() -> str:
    """Return the version of the engine. Raises Unavailable."""
    return run_docker("version", "--format", "{{.Server.Version}}").strip()


def info() -> dict[str, Any]:
    """Return what the engine says of itself. Raises Unavailable."""
    found: dict[str, Any] = json.loads(run_docker("info", "--format", "{{json .}}"))
    return found


def containers(
    *, project: str | None = None, name: str | None = None, label: str | None = None
) -> list[ContainerStatus]:
    """Return the containers of a compose project, or whose name begins so, or with a label, sorted by name.

    Docker looks each half minute, for the first time that long after a start. Who is not healthy by its word, which
    may be so old, is asked here, by the same check.
    """
    chosen = ["--filter", f"label={label}"] if label else []
    if project is not None:
        chosen += ["--filter", f"label=com.docker.compose.project={project}"]
    if name is not None:
        chosen += ["--filter", f"name=^/?{name}"]
    for _ in range(LOOKS):
        ids = run_docker("container", "ls", "--all", "--quiet", "--no-trunc", *chosen).split()
        try:
            shown = run_docker("container", "inspect", *ids) if ids else "[]"
            break
        except Refused as error:  # one went between the two looks
            refused = error
    else:
        raise refused
    found = sorted((_container(one) for one in json.loads(shown)), key=lambda one: one.name)
    if all(one.health in ("", HEALTHY) for one in found):
        return found
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(_looked_at, found))


def _looked_at(one: ContainerStatus) -> ContainerStatus:
    if one.health in ("", HEALTHY) or one.state != "running" or not one.check:
        return one
    try:
        execute(one.name, one.check, seconds=CHECK_SECONDS)
    except InfraError:
        return one
    return replace(one, health=HEALTHY)


def _container(shown: dict[str, Any]) -> ContainerStatus:
    state, config, host = shown["State"], shown["Config"], shown["HostConfig"]
    since, logs = state.get("StartedAt"), host.get("LogConfig") or {}
    published = [
        f"{binding.get('HostIp') or '0.0.0.0'}:{binding.get('HostPort')}"  # noqa: S104 - what Docker means by nothing
        for bindings in (host.get("PortBindings") or {}).values()
        for binding in bindings or []
    ]
    return ContainerStatus(
        name=shown["Name"].lstrip("/"),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        since=None if since in (None, "", NEVER) else since,
        image=config["Image"],
        check=tuple(test[1:]) if (test := (config.get("Healthcheck") or {}).get("Test") or [""])[0] == "CMD" else (),
        service=(config.get("Labels") or {}).get("com.docker.compose.service", ""),
        mounts=tuple((mount.get("Source", ""), mount.get("Destination", "")) for mount in shown.get("Mounts", [])),
        ports=tuple(published),
        log_driver=logs.get("Type", ""),
        log_options=dict(logs.get("Config") or {}),
        environment=dict(line.partition("=")[::2] for line in config.get("Env") or []),
    )


def tail(container: str, lines: int = 15) -> str:
    """Return the last lines that a container said, on either stream; why there are none, if that is so."""
    try:
        return run_docker("logs", "--tail", str(lines), container, merged=True).strip()
    except InfraError as error:
        return str(error)


def restart(container: str) -> None:
    """Restart one container; it keeps its settings. Raises Refused, Unavailable."""
    run_docker("restart", "--time", str(GRACE_SECONDS), container, timeout_seconds=GRACE_SECONDS + PATIENCE_SECONDS)


def signal(container: str, number: str) -> None:
    """Send a signal to a container's first process. Raises Refused, Unavailable."""
    run_docker("kill", "--signal", number, container)


def execute(container: str, argv: Sequence[str], *, feed: bytes = b"", seconds: float = EXECUTE_SECONDS) -> str:
    """Run a program in a running container; return what it printed. A secret goes in by `feed`.

    Raises ProgramFailed for an exit status other than 0, Unavailable while Docker is away.
    """
    return run_docker("exec", "--interactive", container, *argv, feed=feed, timeout_seconds=seconds)


def image_exists(name: str) -> bool:
    """Return whether this machine has an image. Raises Unavailable."""
    return bool(run_docker("image", "ls", "--quiet", name).strip())


def is_running(name: str) -> bool:
    """Return whether a container of exactly this name runs. Raises Unavailable."""
    return bool(
        run_docker("container", "ls", "--quiet", "--filter", f"name=^/?{name}$", "--filter", "status=running").strip()
    )


def volume_exists(name: str) -> bool:
    """Return whether this machine has a volume. Raises Unavailable."""
    return name in run_docker("volume", "ls", "--quiet").split()


def run_in_image(image: str, program: str, *arguments: str) -> str:
    """Run a program of an image by itself, without network; return what it printed. Raises ProgramFailed."""
    return run_docker("run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments)
