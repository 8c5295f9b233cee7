"""launchdb users: who signs in to a project, by its Auth's admin API."""

from __future__ import annotations

import sys
from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import USAGE, CliError
from scripts.cli.options import confirm
from scripts.cli.output import format_pairs, format_table, json_option, print_json, print_lines
from scripts.cli.service_client import split_words
from scripts.cli.users.auth_admin import AuthAdmin
from scripts.cli.users.importing import import_users

EMAIL = click.argument("words", nargs=-1, required=True, metavar="[PROJECT] EMAIL")
USER = click.argument("words", nargs=-1, required=True, metavar="[PROJECT] USER")
LISTED = ("id", "email", "created_at", "last_sign_in_at", "banned_until")
SHOWN = (
    "id", "email", "new_email", "phone", "role", "is_anonymous", "created_at", "invited_at", "email_confirmed_at",
    "last_sign_in_at", "banned_until", "deleted_at", "app_metadata", "user_metadata",
)  # fmt: skip


@click.group()
def users() -> None:
    """Who signs in to a project. USER is an id or an e-mail address."""


users.add_command(import_users)


@users.command("list")
@click.argument("project", required=False)
@click.option("--filter", "matching", default="", help="Those whose address or name holds this.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@json_option
@pass_session
def list_users(session: CliSession, project: str | None, *, matching: str, limit: int | None, as_json: bool) -> None:
    """List the users of PROJECT, newest first."""
    found = list(AuthAdmin(session, project).users(matching=matching, limit=limit))
    if as_json:
        print_json({"users": found})
        return
    print_lines(format_table(LISTED, ([user.get(name) for name in LISTED] for user in found)))


@users.command()
@USER
@json_option
@pass_session
def show(session: CliSession, words: tuple[str, ...], *, as_json: bool) -> None:
    """Show one user with their identities and factors."""
    project, named = split_words(words, "USER")
    _tell(AuthAdmin(session, project).user(named), as_json=as_json)


@users.command()
@EMAIL
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input; without it, there is none."
)
@click.option("--unconfirmed", is_flag=True, help="Let them confirm their address first.")
@json_option
@pass_session
def create(
    session: CliSession, words: tuple[str, ...], *, password_stdin: bool, unconfirmed: bool, as_json: bool
) -> None:
    """Create a user; nobody is written to."""
    project, email = split_words(words, "EMAIL")
    body: dict[str, Any] = {"email": email, "email_confirm": not unconfirmed}
    if password_stdin:
        body["password"] = sys.stdin.readline().rstrip("\n")
    _tell(AuthAdmin(session, project).ask("POST", "/admin/users", body), as_json=as_json)


@users.command()
@EMAIL
@json_option
@pass_session
def invite(session: CliSession, words: tuple[str, ...], *, as_json: bool) -> None:
    """Create a user and write them a link to come in by."""
    project, email = split_words(words, "EMAIL")
    _tell(AuthAdmin(session, project).ask("POST", "/invite", {"email": email}), as_json=as_json)


@users.command()
@USER
@click.option(
    "--for", "duration", default="876000h", metavar="TIME", help="Such as 24h or 90m; a hundred years otherwise."
)
@click.option("--lift", is_flag=True, help="Let them in again.")
@json_option
@pass_session
def ban(session: CliSession, words: tuple[str, ...], *, duration: str, lift: bool, as_json: bool) -> None:
    """Keep a user out: no sign-in, no refresh, no call with a token that they have."""
    project, named = split_words(words, "USER")
    auth = AuthAdmin(session, project)
    body = {"ban_duration": "none" if lift else duration}
    _tell(auth.ask("PUT", f"/admin/users/{auth.user(named)['id']}", body), as_json=as_json)


@users.command()
@USER
@click.option("--soft", is_flag=True, help="Keep their id; what is known of them goes, and their address is free.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def delete(session: CliSession, words: tuple[str, ...], *, soft: bool, yes: bool, as_json: bool) -> None:
    """Delete a user, with what the project's own tables hang on them."""
    project, named = split_words(words, "USER")
    auth = AuthAdmin(session, project)
    user = auth.user(named)
    name = user.get("email") or user["id"]
    confirm(name, f"the user {name}", yes=yes)
    auth.ask("DELETE", f"/admin/users/{user['id']}", {"should_soft_delete": soft})
    if as_json:
        print_json({"id": user["id"], "deleted": True})
        return
    print_lines([f"{name} was deleted"])


@users.command("reset-password")
@USER
@click.option("--mail", is_flag=True, help="Write them the link instead of printing it.")
@click.option("--redirect-to", default="", metavar="URL", help="Where the link leads, if the project allows it.")
@json_option
@pass_session
def reset_password(session: CliSession, words: tuple[str, ...], *, mail: bool, redirect_to: str, as_json: bool) -> None:
    """Print a link by which a user chooses another password, this one time."""
    project, named = split_words(words, "USER")
    auth = AuthAdmin(session, project)
    email = auth.user(named).get("email")
    if not email:
        raise CliError("this user has no e-mail address", USAGE)
    where = {"redirect_to": redirect_to} if redirect_to else {}
    if mail:
        auth.ask("POST", "/recover", {"email": email}, where)
        _say({"email": email, "mailed": True}, f"a link was mailed to {email}", as_json=as_json)
        return
    made = auth.ask("POST", "/admin/generate_link", {"type": "recovery", "email": email, **where})
    _say({"email": email, "link": made["action_link"]}, made["action_link"], as_json=as_json)


@users.command()
@USER
@click.option("--remove", "factor", metavar="FACTOR", help="Take this factor away, as when a telephone is lost.")
@json_option
@pass_session
def mfa(session: CliSession, words: tuple[str, ...], *, factor: str | None, as_json: bool) -> None:
    """List a user's second factors, or take one away."""
    project, named = split_words(words, "USER")
    auth = AuthAdmin(session, project)
    path = f"/admin/users/{auth.user(named)['id']}/factors"
    if factor is not None:
        auth.ask("DELETE", f"{path}/{factor}")
        _say({"id": factor, "removed": True}, f"{factor} was taken away", as_json=as_json)
        return
    found = auth.ask("GET", path)
    if as_json:
        print_json({"factors": found})
        return
    columns = ("id", "factor_type", "friendly_name", "status", "created_at")
    print_lines(format_table(columns, ([each.get(name) for name in columns] for each in found)))


def _tell(user: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(user)
        return
    shown = {name: user[name] for name in SHOWN if user.get(name) not in (None, "", {}, False)}
    shown["identities"] = [each["provider"] for each in user.get("identities") or ()]
    shown["factors"] = [f"{each['factor_type']} ({each['status']})" for each in user.get("factors") or ()]
    print_lines(format_pairs(shown))


def _say(data: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(data)
    else:
        print_lines([sentence])
