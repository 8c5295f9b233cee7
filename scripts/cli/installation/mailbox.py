"""launchdb mailbox: the mail of an installation without a mail server, for whoever may read its home folder."""

from __future__ import annotations

from dataclasses import asdict

import click

from infra.mail.mailbox import Mailbox
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.output import (
    format_pairs,
    format_table,
    json_option,
    print_json,
    print_lines,
    print_note,
    strip_control,
)


@click.group(invoke_without_command=True)
@click.pass_context
def mailbox(context: click.Context) -> None:
    """Read what would have been mailed, where no mail server is set (for whoever may read LAUNCHDB_HOME)."""
    if context.invoked_subcommand is None:
        context.invoke(list_letters)


@mailbox.command("list")
@json_option
@pass_session
def list_letters(session: CliSession, *, as_json: bool) -> None:
    """List the letters, newest first."""
    if session.settings.mail != "mailbox":
        print_note(
            "this installation keeps no mailbox: mail is " + ("sent" if session.settings.mail == "smtp" else "off")
        )
    found = _box(session).messages()
    if as_json:
        print_json(
            {"letters": [{name: vars(letter)[name] for name in ("id", "at", "to", "subject")} for letter in found]}
        )
        return
    print_lines(format_table(("id", "at", "to", "subject"), ([one.id, one.at, one.to, one.subject] for one in found)))


@mailbox.command()
@click.argument("letter")
@json_option
@pass_session
def show(session: CliSession, letter: str, *, as_json: bool) -> None:
    """Show LETTER whole."""
    found = _box(session).find(letter)
    if found is None:
        raise CliError(f"there is no letter {letter}", NOT_FOUND)
    if as_json:
        print_json(asdict(found))
        return
    print_lines(
        [
            *format_pairs({"to": found.to, "subject": found.subject, "at": found.at}),
            "",
            strip_control(found.text).rstrip("\n"),
        ]
    )


def _box(session: CliSession) -> Mailbox:
    return Mailbox(session.settings.mailbox_folder)
