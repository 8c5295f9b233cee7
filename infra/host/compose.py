"""Docker Compose, v2 or 1.29: one project, whose variables stand in the home's `.env` and nowhere else."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from config.installation import program_environment
from infra import pipeline
from infra.errors import InfraError, Refused
from infra.host import docker_cli
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.host.docker_cli import ContainerStatus

PROJECT = "launchdb"
HOME = "launchdb.home"
OLDEST = (1, 29)
LOOK_SECONDS = 30.0
_HASH = "com.docker.compose.config-hash"
_HALF = re.compile(r"[0-9a-f]{12}_(.+)")
_PROGRAMS = (("docker", "compose"), ("docker-compose",))


@dataclass(frozen=True)
class Compose:
    """A compose file with a home. Every verb raises Refused, or Unavailable while Docker is away.

    file  its path, or its content where it is no file of this machine
    """

    program: tuple[str, ...]
    file: Path | bytes
    dotenv: Path
    project: str = PROJECT
    version: str = ""

    @contextmanager
    def _command(self, words: tuple[str, ...]) -> Iterator[list[str]]:
        """Lend the whole command line: no variable of the caller's goes over what `.env` says."""
        known = ("--ansi", "never", "--project-name", self.project, "--env-file", str(self.dotenv))
        if not isinstance(self.file, bytes):
            yield [*self.program, *known, "--file", str(self.file), *words]
            return
        # A file, for some commands of Compose 1.29 read it twice, which standard input cannot be.
        with NamedTemporaryFile(prefix="launchdb-compose-", suffix=".yaml") as file:
            file.write(self.file)
            file.flush()
            there = ("--project-directory", str(self.dotenv.parent), "--file", file.name)
            yield [*self.program, *known, *there, *words]

    def up(self, *services: str, tell: Callable[[str], None], dependants: bool = True, again: bool = False) -> None:
        """Start the services, or all, as the file says; what is as it says is left alone.

        dependants  also what they depend on
        again       make them anew even so

        What a Compose that was killed has left half replaced is settled first: it would be taken for the service.
        """
        self._settle()
        chosen = [] if dependants else ["--no-deps"]
        self._follow("up", "--detach", *chosen, *(["--force-recreate"] if again else []), *services, tell=tell)

    def restart(self, *services: str, tell: Callable[[str], None]) -> None:
        """Stop the services and start them again, as they are."""
        self._follow("restart", *services, tell=tell)

    def stop(self, *services: str, tell: Callable[[str], None]) -> None:
        """Stop the services, each with its own grace; none of them goes away."""
        self._follow("stop", *services, tell=tell)

    def down(self, *, tell: Callable[[str], None], volumes: bool = False) -> None:
        """Stop and remove containers and networks, who depends on others first. Data is kept, unless told."""
        self._follow("down", "--remove-orphans", *(["--volumes"] if volumes else []), tell=tell)

    def containers(self) -> list[ContainerStatus]:
        """Return the project's containers, running or not."""
        return docker_cli.containers(project=self.project)

    def services(self) -> list[str]:
        """Return the names of the services that the file has."""
        return self._run("config", "--services").split()

    def differs(self, service: str) -> bool:
        """Return whether the container of a service is not as the file says, so that `up` would replace it."""
        wanted = self._run("config", "--hash", service).split()
        had = docker_cli.run_docker(
            "container", "ls", "--all", "--format", f'{{{{.Label "{_HASH}"}}}}',
            "--filter", f"label=com.docker.compose.project={self.project}",
            "--filter", f"label=com.docker.compose.service={service}",
        )  # fmt: skip
        return had.split() != wanted[-1:]

    def _settle(self) -> None:
        """Compose puts the container's id before the name of the one of two that is to go, or not there yet."""
        there = {one.name for one in self.containers()}
        for name in sorted(there):
            if (found := _HALF.fullmatch(name)) is None:
                continue
            if found[1] in there:
                docker_cli.run_docker("rm", "--force", name)
            else:
                docker_cli.run_docker("rename", name, found[1])

    def _run(self, *words: str) -> str:
        try:
            with self._command(words) as argv:
                return pipeline.run(
                    argv, timeout_seconds=LOOK_SECONDS, env=program_environment(), cwd=self.dotenv.parent
                )
        except ProgramFailed as error:
            raise _worded(error) from None

    def _follow(self, *words: str, tell: Callable[[str], None]) -> None:
        try:
            with self._command(words) as argv:
                pipeline.follow(
                    argv,
                    lambda line: tell(line) if line and _is_news(line) else None,
                    env=program_environment(),
                    cwd=self.dotenv.parent,
                )
        except ProgramFailed as error:
            raise _worded(error) from None


def homes(project: str = PROJECT) -> set[str]:
    """Return the homes that the project's containers say they are of. Raises Unavailable."""
    chosen = ("--filter", f"label=com.docker.compose.project={project}", "--format", f'{{{{.Label "{HOME}"}}}}')
    return set(docker_cli.run_docker("container", "ls", "--all", *chosen).splitlines()) - {""}


def find(file: Path | bytes, dotenv: Path, *, project: str = PROJECT) -> Compose:
    """Return Compose as this machine has it. Raises Refused when it has none, or one that is too old."""
    seen = []
    for program in _PROGRAMS:
        version = _version(program)
        if version is None:
            continue
        seen.append(".".join(map(str, version)))
        if version >= OLDEST:
            return Compose(program, file, dotenv, project, seen[-1])
    said = f"found {', '.join(seen)}" if seen else "found none"
    raise Refused(f"Docker Compose v2, or 1.29, is needed; {said} (scripts/install puts it there)")


def _version(program: tuple[str, ...]) -> tuple[int, ...] | None:
    try:
        said = pipeline.run([*program, "version", "--short"], timeout_seconds=LOOK_SECONDS, env=program_environment())
    except InfraError:
        return None
    found = re.search(r"(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def _is_news(line: str) -> bool:
    """Tell what happens from what Compose 1.29 draws while it waits."""
    # An object store's network takes the place of one that is then nobody's.
    said = line.lstrip().removeprefix("WARNING: ")
    return not said.startswith(("Found orphan", "Some networks were defined but are not used"))


def _worded(error: ProgramFailed) -> InfraError:
    worded = docker_cli.translate_failure(error)
    if worded is not error:
        return worded
    named = re.search(
        r"\b(launchdb-[a-z-]+)\b.*(?:unhealthy|exited)|dependency failed.*?(launchdb-[a-z-]+)", error.said
    )
    hint = f"; see `docker logs {named[1] or named[2]}`" if named else ""
    return Refused(f"{error}{hint}")
