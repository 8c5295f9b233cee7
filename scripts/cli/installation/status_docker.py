"""launchdb status on the host of containers: their table, then what the platform says of itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.errors import InfraError
from infra.pipeline import ProgramFailed
from scripts.cli import inside
from scripts.cli.errors import DONE, FAILURE
from scripts.cli.output import format_table, print_json, print_lines, print_note
from scripts.stack import versions
from scripts.stack.checkout import Checkout
from scripts.stack.stack import Stack, describe_problem

if TYPE_CHECKING:
    from pathlib import Path

    from infra.host.docker_cli import ContainerStatus


def show_status(home: Path, *, as_json: bool) -> int:
    """Print the containers and, while the API's runs, the rest; return the exit code."""
    there = Stack.of(home)
    found, projects = there.containers(), there.projects()
    ill = [one for one in [*found, *(one for one in projects if one.state == "running")] if not one.is_well]
    commit = Checkout.here().commit()
    answers = any(one.name == inside.CONTAINER and one.state == "running" for one in found)
    if as_json:
        print_json(
            {
                "home": str(home),
                "version": there.settings.version,
                "commit": commit,
                "containers": [_document(one) for one in found],
                "projectContainers": [_document(one) for one in projects],
                "platform": _platform_json() if answers else None,
            }
        )
    else:
        print_lines(format_table(("container", "state", "health", "since"), (_row(one) for one in found)))
        running = sum(one.state == "running" for one in projects)
        print_lines([f"containers of projects: {len(projects)}, of which {running} run"])
        print_lines(
            [f"version: {there.settings.version}" + (f"; the checkout is commit {commit}" if commit else ""), ""]
        )
        if answers:
            print_lines(_platform_text())
    for said in (versions.read(there.home, there.settings.version).unfinished, *(describe_problem(one) for one in ill)):
        if said:
            print_note(said)
    return FAILURE if ill else DONE


def _row(one: ContainerStatus) -> list[str | None]:
    return [one.name, one.state, one.health or None, one.since and one.since[:19] + "Z"]


def _document(one: ContainerStatus) -> dict[str, Any]:
    return {"name": one.name, "state": one.state, "health": one.health or None, "since": one.since, "image": one.image}


def _platform_json() -> Any:
    """Return the status as the platform itself sees it; exit code 1 of that is no fault of the asking."""
    try:
        return json.loads(inside.answer("status", "--json"))
    except (InfraError, ValueError):
        return None


def _platform_text() -> list[str]:
    try:
        return inside.answer("status").splitlines()
    except ProgramFailed as error:
        return error.said.splitlines()
    except InfraError as error:
        return [f"the platform's own view cannot be had: {error}"]
