"""launchdb projects extensions: what a project may have, what it has, and to change that."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.jobs.progress import conclude
from scripts.cli.options import wait_options
from scripts.cli.output import format_table, json_option, print_json, print_lines


@click.group()
def extensions() -> None:
    """List, add and remove extensions of a project."""


@extensions.command("list")
@click.argument("project", required=False)
@json_option
@pass_session
def list_extensions(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """List what PROJECT may have and what it has."""
    answer = session.client.get(f"/api/projects/{session.project(project)['id']}/extensions")
    if as_json:
        print_json(answer)
        return
    rows = ([_word(row[name]) for name in ("name", "version", "installed", "reason")] for row in answer["extensions"])
    print_lines(format_table(("name", "version", "installed", "why not"), rows))


@extensions.command()
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] NAME")
@wait_options
@json_option
@pass_session
def add(session: CliSession, words: tuple[str, ...], *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Install the extension NAME in PROJECT."""
    path, name = session.path_and(words, "NAME")
    answer = session.client.post(f"{path}/extensions", {"name": name})
    conclude(session.client, answer, f"{name} installed", no_wait=no_wait, timeout=timeout, as_json=as_json)


@extensions.command()
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] NAME")
@click.option("--cascade", is_flag=True, help="Drop everything that depends on it too.")
@wait_options
@json_option
@pass_session
def remove(
    session: CliSession, words: tuple[str, ...], *, cascade: bool, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Drop the extension NAME from PROJECT."""
    path, name = session.path_and(words, "NAME")
    answer = session.client.delete(f"{path}/extensions", body={"name": name, "cascade": cascade})
    conclude(session.client, answer, f"{name} removed", no_wait=no_wait, timeout=timeout, as_json=as_json)


def _word(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value
