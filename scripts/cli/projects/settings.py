"""launchdb projects settings, stats: what is set of a project, and how large and busy it is."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import USAGE, CliError
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_pairs, format_table, json_option, print_json, print_lines

# Whoever lists the processes of this machine sees their arguments.
SECRETS = ("smtpPassword", "captchaSecret", "oauthSecrets")


@click.command()
@click.argument("project", required=False)
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="Set one; VALUE - reads standard input.")
@click.option("--unset", "unset", multiple=True, metavar="NAME", help="Put back its default.")
@wait_options
@json_option
@pass_session
def settings(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    *,
    given: tuple[str, ...],
    unset: tuple[str, ...],
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Show the settings of PROJECT, or change some. Lists are written with commas between, objects as JSON."""
    path = f"/api/projects/{session.project(project)['id']}/settings"
    found = session.client.get(path)
    changes = _changes(found["settings"], given, unset)
    if not changes:
        print_outcome(found, lambda: _lines(found), as_json=as_json)
        return
    answer = wait_for_job(session.client, session.client.patch(path, changes), wait=not no_wait, timeout=timeout)
    if not no_wait:
        answer = {**answer, **session.client.get(path)}
    print_outcome(answer, lambda: _lines(answer), as_json=as_json, waited=not no_wait)


@click.command()
@click.argument("project", required=False)
@json_option
@pass_session
def stats(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """Show how large PROJECT is, and how busy."""
    found = session.client.get(f"/api/projects/{session.project(project)['id']}/stats")
    if as_json:
        print_json(found)
        return
    limit = found["connections"]["limit"]
    print_lines(
        format_pairs(
            {
                "database": f"{found['databaseBytes']} bytes, {found['tableCount']} tables",
                "files": f"{found['storage']['bytes']} bytes, {found['storage']['objects']} objects",
                "connections": f"{found['connections']['used']} of {'any' if limit is None else limit}",
                "last backup": found["lastBackup"],
            }
        )
    )
    if found["tables"]:
        rows = ((row["schema"], row["tables"], row["rows"]) for row in found["tables"])
        print_lines(["", *format_table(("schema", "tables", "rows (about)"), rows)])


def _changes(known: dict[str, Any], given: tuple[str, ...], unset: tuple[str, ...]) -> dict[str, Any]:
    changes: dict[str, Any] = dict.fromkeys(unset)
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or name in changes:
            raise CliError(f"{name} is there twice" if equals else f"write {name}=VALUE", USAGE)
        if name in SECRETS and text != "-":
            raise CliError(f"write {name}=- and give the secret on standard input", USAGE)
        changes[name] = _value(known.get(name), sys.stdin.read().rstrip("\r\n") if text == "-" else text, name)
    return changes


def _value(known: Any, text: str, name: str) -> Any:
    """Return the value that a text stands for, by what the setting holds now."""
    if isinstance(known, str) or name in SECRETS[:2]:
        return text
    if isinstance(known, list) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lines(found: dict[str, Any]) -> list[str]:
    changed = set(found["changed"])
    rows = [(name, _said(value), "set" if name in changed else "") for name, value in found["settings"].items()]
    rows += [(name, "(not shown)" if there else "", "set" if there else "") for name, there in found["secrets"].items()]
    versions = f"version {found['version']}, in force {found['appliedVersion']}"
    return [versions, "", *format_table(("name", "value", ""), rows)]


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(name for name, template in value.items() if template)
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, list) else value
