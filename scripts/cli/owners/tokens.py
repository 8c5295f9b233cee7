"""launchdb tokens: personal access tokens, for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.options import confirm
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note


@click.group()
def tokens() -> None:
    """Personal access tokens, for programs."""


@tokens.command("list")
@json_option
@pass_session
def list_tokens(session: CliSession, *, as_json: bool) -> None:
    """List your tokens; their values are not kept."""
    found = list(session.client.pages("/api/tokens", "tokens"))
    if as_json:
        print_json({"tokens": found})
        return
    columns = ("id", "name", "createdAt", "expiresAt", "lastUsedAt")
    rows = ([*(token.get(c) for c in columns), " ".join(token["scopes"])] for token in found)
    print_lines(format_table(("id", "name", "created", "expires", "last used", "scopes"), rows))


@tokens.command()
@click.argument("name")
@click.option("--days", type=click.IntRange(min=1), help="End of its life, counted from now (default: none).")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "write", "operate"]),
    help="What it may be used for, and nothing else; can be given more than once (default: what you may).",
)
@json_option
@pass_session
def create(session: CliSession, name: str, *, days: int | None, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a token called NAME and print it, this one time."""
    body: dict[str, Any] = {"name": name} | ({"scopes": list(scopes)} if scopes else {})
    if days is not None:
        ends = datetime.now(UTC) + timedelta(days=days)
        body["expiresAt"] = ends.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    made = session.client.post("/api/tokens", body)
    if as_json:
        print_json(made)
        return
    print_note("keep it now: it is not shown again")
    print_lines([made["token"]])


@tokens.command()
@click.argument("token")
@click.option("--yes", is_flag=True, help="Do not ask for the name.")
@json_option
@pass_session
def delete(session: CliSession, token: str, *, yes: bool, as_json: bool) -> None:
    """Delete TOKEN, given by id or name; what uses it is signed out at once."""
    found = [entry for entry in session.client.pages("/api/tokens", "tokens") if token in (entry["id"], entry["name"])]
    if not found:
        raise CliError(f"there is no token {token}", NOT_FOUND)
    confirm(found[0]["name"], f"the token {found[0]['name']}", yes=yes)
    session.client.delete(f"/api/tokens/{found[0]['id']}")
    if as_json:
        print_json({"deleted": found[0]["id"]})
        return
    print_lines([f"{found[0]['id']} deleted"])
