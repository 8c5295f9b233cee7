"""launchdb projects extensions: what a project may have, what it has, and to change that."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.jobs.progress import print_outcome, wait_for_job
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
    path, name = _meant(session, words)
    answer = session.client.post(path, {"name": name})
    _concluded(session, answer, f"{name} installed", no_wait=no_wait, timeout=timeout, as_json=as_json)


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
    path, name = _meant(session, words)
    answer = session.client.delete(path, body={"name": name, "cascade": cascade})
    _concluded(session, answer, f"{name} removed", no_wait=no_wait, timeout=timeout, as_json=as_json)


def _meant(session: CliSession, words: tuple[str, ...]) -> tuple[str, str]:
    if len(words) > 2:
        raise click.UsageError("give PROJECT and NAME")
    project = session.project(words[0] if len(words) > 1 else None)
    return f"/api/projects/{project['id']}/extensions", words[-1]


def _concluded(
    session: CliSession, answer: dict[str, Any], told: str, *, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: ["accepted" if no_wait else told], as_json=as_json, waited=not no_wait)


def _word(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value
