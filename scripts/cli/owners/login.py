"""launchdb login: remember an installation and who you are there."""

from __future__ import annotations

import sys

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.output import json_option, print_json, print_lines, print_note
from scripts.cli.signin import StoredSignIn
from scripts.cli.target import anonymous_client


@click.command()
@click.option("--url", help="The installation (default: LAUNCHDB_URL, else the local one).")
@click.option("--email", help="Asked for when not given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@json_option
@pass_session
def login(session: CliSession, *, url: str | None, email: str | None, password_stdin: bool, as_json: bool) -> None:
    """Sign in and remember it in your configuration folder, readable by you alone."""
    client = anonymous_client(session.settings, (url or session.environment.url).rstrip("/"))
    try:
        email = email or click.prompt("Email", err=True)
        password = sys.stdin.readline().rstrip("\n") if password_stdin else _ask()
        given = client.post("/api/auth/login", {"email": email, "password": password})
    finally:
        client.close()
    session.context_file.write(StoredSignIn(client.url, email, given["accessToken"], given["refreshToken"]))
    print_note(f"remembered in {session.context_file.path}")
    known = {"url": client.url, "email": email}
    if as_json:
        print_json(known)
        return
    print_lines([f"signed in to {client.url} as {email}"])


def _ask() -> str:
    password: str = click.prompt("Password", hide_input=True, err=True)
    return password
