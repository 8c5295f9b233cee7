"""launchdb logs: what the services printed, of one or of all, and of a project."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from catalog.ids import is_project_id
from config import installation
from config.logging import escape_controls
from infra.host import docker_cli
from infra.host import logs as printed
from infra.host.logs import LogLine, LogRange
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, USAGE, CliError
from scripts.cli.output import json_option, print_json, print_lines
from scripts.stack.stack import NAMES, PROJECTS, refuse_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

PAUSE_SECONDS = 0.3


@click.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--timestamps", is_flag=True, help="Show when each line was printed.")
@click.option("--grep", "pattern", metavar="REGEX", help="Only lines that match.")
@click.option("--project", "named", metavar="ID", help="Only what is about this project, and its container's own log.")
@click.option("--since", metavar="TIME", help="Not what is older: 10m, 2h, or a time.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="At most so many lines of each.")
@json_option
@pass_session
def logs(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    service: str | None,
    *,
    follow: bool,
    timestamps: bool,
    pattern: str | None,
    named: str | None,
    since: str | None,
    tail: int | None,
    as_json: bool,
) -> None:
    """Print the log of SERVICE, or of all services; of an installation without containers: its files."""
    wanted = _filter(pattern, named)
    home = installation.find_home()
    if home is None:
        if since or timestamps:
            raise CliError("--since and --timestamps are for containers; the lines of files say their time", USAGE)
        lines = _of_files(session.settings.home / "log", service, tail, follow=follow)
    else:
        refuse_others(home)
        containers, reach = _containers(service, named), LogRange(since, tail)
        lines = printed.follow(containers, reach) if follow else iter(printed.read(containers, reach))
    lines = (line for line in lines if wanted(line))
    if as_json and not follow:
        print_json({"lines": [{"container": line.container, "at": line.at, "text": line.text} for line in lines]})
        return
    print_lines(_shown(lines, alone=service is not None, timestamps=timestamps))


def _filter(pattern: str | None, project: str | None) -> Callable[[LogLine], bool]:
    if project is not None and not is_project_id(project):
        raise CliError(f"{project} is no project's id; `launchdb projects list` shows them", USAGE)
    try:
        expression = re.compile(pattern) if pattern else None
    except re.error as error:
        raise CliError(f"--grep: {error}", USAGE) from None

    def wanted(line: LogLine) -> bool:
        about = project is None or project in line.text or line.container == f"postgrest-{project}"
        return about and (expression is None or expression.search(line.text) is not None)

    return wanted


def _containers(service: str | None, project: str | None) -> list[str]:
    """Return the names of those that are there. Raises CliError for a service that is unknown."""
    ours = {one.service or one.name: one.name for one in docker_cli.containers(project="launchdb")}
    if not ours:
        raise CliError("there are no containers, so no logs; `launchdb up --docker` makes them", NOT_FOUND)
    if service is None:
        of_project = [f"postgrest-{project}"] if project else []
        there = {one.name for one in docker_cli.containers(name=PROJECTS)} if project else set()
        return [*ours.values(), *(name for name in of_project if name in there)]
    name = ours.get(service) or NAMES.get(service, service)
    if name not in (*ours.values(), *NAMES.values()) and not name.startswith(PROJECTS):
        raise CliError(f"there is no service {service}; there are: {', '.join(NAMES)}", NOT_FOUND)
    return [name]


def _shown(lines: Iterable[LogLine], *, alone: bool, timestamps: bool) -> Iterator[str]:
    for line in lines:
        start = "" if alone else f"{line.container} | "
        yield start + (f"{line.at} " if timestamps else "") + escape_controls(line.text)


def _of_files(folder: Path, service: str | None, tail: int | None, *, follow: bool) -> Iterator[LogLine]:
    paths = sorted(folder.glob("*.log"))
    if service is not None:
        paths = [path for path in paths if path.stem == service]
    if not paths:
        raise CliError(f"there is no log{f' {service}.log' if service else ''} in {folder}", NOT_FOUND)
    places = {}
    for path in paths:
        with path.open(errors="replace") as file:
            lines = [text.removesuffix("\n") for text in file]
            places[path] = file.tell()
        yield from (LogLine(path.stem, "", text) for text in (lines if tail is None else lines[len(lines) - tail :]))
    while follow:
        for path, place in places.items():
            with path.open(errors="replace") as file:
                # A file that is shorter than it was has been begun anew.
                file.seek(place if path.stat().st_size >= place else 0)
                yield from (LogLine(path.stem, "", text.rstrip("\n")) for text in file)
                places[path] = file.tell()
        time.sleep(PAUSE_SECONDS)
