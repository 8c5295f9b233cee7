"""launchdb projects mail-preview: a letter of a project's Auth as it would be written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import USAGE, CliError
from scripts.cli.output import json_option, print_json, print_lines, strip_control

KINDS = ("confirmation", "recovery", "magicLink", "invite", "emailChange", "reauthentication")


@click.command("mail-preview")
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] KIND")
@click.option("--templates", metavar="FILE", help="Try these, as the setting mailTemplates is written; - reads them.")
@click.option("--data", metavar="JSON", help="The metadata of the user who would get it.")
@click.option("--html", is_flag=True, help="Print the HTML, not the text.")
@json_option
@pass_session
def mail_preview(
    session: CliSession, words: tuple[str, ...], *, templates: str | None, data: str | None, html: bool, as_json: bool
) -> None:
    """Show a letter of PROJECT: confirmation, recovery, magicLink, invite, emailChange or reauthentication."""
    kind = words[-1]
    if len(words) > 2 or kind not in KINDS:
        raise CliError(f"name one of {', '.join(KINDS)}, after the project", USAGE)
    body: dict[str, Any] = {"kind": kind}
    if templates is not None:
        body["mailTemplates"] = _object(_read(templates), "--templates")
    if data is not None:
        body["data"] = _object(data, "--data")
    project = session.project(words[0] if len(words) > 1 else None)
    shown = session.client.ask(f"/api/projects/{project['id']}/mail-templates/preview", body)
    if as_json:
        print_json(shown)
        return
    print_lines(strip_control(line) for line in _lines(shown, html=html))


def _lines(shown: dict[str, Any], *, html: bool) -> list[str]:
    return [f"Subject: {shown['subject']}", "", *shown["html" if html else "text"].splitlines()]


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read", USAGE) from error


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CliError(f"{option} takes a JSON object", USAGE)
    return found
