"""Docker as host commands ask it: a few questions and verbs of its command line, plain values out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra import pipeline
from infra.errors import InfraError, Refused, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

ASK_SECONDS, ACT_SECONDS = 20.0, 90.0
DAEMON_AWAY = "Cannot connect to the Docker daemon"


@dataclass(frozen=True)
class Container:
    """A container as it is found. health: healthy, unhealthy, starting, or empty where nobody asks it."""

    name: str
    state: str
    health: str
    mounts: tuple[tuple[str, str], ...]
    log_driver: str
    log_options: dict[str, str]
    ports: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Compose:
    """A Compose project: its name, its file, and the file of its variables."""

    name: str
    file: Path
    dotenv: Path


class Docker:
    """The docker program. Every verb raises Unavailable when Docker is away, Refused for what it declines."""

    def __init__(self, program: str = "docker") -> None:
        self._program = program

    def version(self) -> str:
        """Return the version of the engine."""
        return self._ask("version", "--format", "{{.Server.Version}}").strip()

    def compose_version(self) -> str:
        """Return the version of Compose. Raises Refused when it is not installed."""
        return self._compose()[1]

    def info(self) -> dict[str, Any]:
        """Return what the engine says of itself."""
        found: dict[str, Any] = json.loads(self._ask("info", "--format", "{{json .}}"))
        return found

    def containers(self, prefix: str) -> list[Container]:
        """Return the containers whose names begin so, running or not, by name."""
        ids = self._ask("ps", "--all", "--quiet", "--filter", f"name=^/{prefix}").split()
        if not ids:
            return []
        found = [_container(one) for one in json.loads(self._ask("inspect", *ids))]
        return sorted(found, key=lambda one: one.name)

    def container(self, name: str) -> Container | None:
        """Return the container of this name, if there is one."""
        return next((one for one in self.containers(name) if one.name == name), None)

    def has_image(self, reference: str) -> bool:
        """Say whether the image lies on this machine."""
        return bool(self._ask("images", "--quiet", reference).strip())

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines that a container said, on either stream."""
        argv = [self._program, "logs", "--tail", str(lines), name]
        try:
            return pipeline.run(argv, timeout_seconds=ASK_SECONDS, merged=True).strip()
        except InfraError as error:
            return str(error)

    def restart(self, name: str) -> None:
        """Restart one container; it keeps its settings."""
        self._do("restart", "--time", "35", name)

    def recreate(self, project: Compose, service: str) -> None:
        """Make one service's container anew, as the files of its project say now, and no other's."""
        files = ["--project-name", project.name, "--file", str(project.file), "--env-file", str(project.dotenv)]
        verb = ["up", "--detach", "--no-deps", "--force-recreate", service]
        pipeline.run([*self._compose()[0], *files, *verb], timeout_seconds=ACT_SECONDS)

    def signal(self, name: str, number: str) -> None:
        """Send a signal to a container's first process."""
        self._do("kill", "--signal", number, name)

    def execute(self, name: str, *argv: str) -> str:
        """Run a program in a running container; return what it printed."""
        return self._run(("exec", name, *argv), ACT_SECONDS)

    def _compose(self) -> tuple[list[str], str]:
        """Return how Compose is called, the plugin before the old program, and its version."""
        for words in ([self._program, "compose"], ["docker-compose"]):
            try:
                version = pipeline.run([*words, "version", "--short"], timeout_seconds=ASK_SECONDS)
            except Refused:
                continue
            return words, version.strip().removeprefix("v")
        raise Refused("Compose is not installed")

    def _ask(self, *arguments: str) -> str:
        return self._run(arguments, ASK_SECONDS)

    def _do(self, *arguments: str) -> None:
        self._run(arguments, ACT_SECONDS)

    def _run(self, arguments: tuple[str, ...], seconds: float) -> str:
        try:
            return pipeline.run([self._program, *arguments], timeout_seconds=seconds)
        except pipeline.Failed as error:
            if DAEMON_AWAY in error.said:
                raise Unavailable("Docker does not answer; is its service running?", dependency="docker") from error
            raise
        except Refused as error:
            raise Unavailable("Docker is not installed here", dependency="docker") from error


def _container(found: dict[str, Any]) -> Container:
    state, host = found["State"], found["HostConfig"]
    logs = host.get("LogConfig") or {}
    bound = [
        f"{binding.get('HostIp') or '0.0.0.0'}:{binding.get('HostPort')}"  # noqa: S104 - what Docker means by nothing
        for bindings in (host.get("PortBindings") or {}).values()
        for binding in bindings or []
    ]
    return Container(
        name=found["Name"].lstrip("/"),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", ""),
        mounts=tuple((mount.get("Source", ""), mount.get("Destination", "")) for mount in found.get("Mounts", [])),
        log_driver=logs.get("Type", ""),
        log_options=dict(logs.get("Config") or {}),
        ports=tuple(bound),
        environment=dict(line.partition("=")[::2] for line in found["Config"].get("Env") or []),
    )
