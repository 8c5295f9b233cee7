"""launchdb owners: who may use this installation.

List and promote work on the home folder itself, so that they work before anybody is an operator.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from catalog import owners as people
from jobs.engine.view import rfc3339
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, USAGE, CliError
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note
from scripts.cli.owners.account import ensure_owner
from scripts.cli.target import open_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.owners import OwnerWithProjects
    from infra.postgres.database import Transaction


class _Quota(click.ParamType[int | None, Any]):
    """How many projects: None for the installation's own number, 0 for no limit."""

    name = "N|none|default"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value in ("none", "default"):
            return 0 if value == "none" else None
        try:
            number = int(value)
        except ValueError:
            number = 0
        if number < 1:
            self.fail('give a number from 1 on, "none" for no limit, or "default"', param, ctx)
        return number


@click.group()
def owners() -> None:
    """Who may use this installation."""


@owners.command("list")
@json_option
@pass_session
def list_owners(session: CliSession, *, as_json: bool) -> None:
    """List all owners (for whoever may read LAUNCHDB_HOME)."""
    with _home(session) as tx:
        found = [_owner(owner) for owner in people.page(tx, after=None, limit=None)]
    if as_json:
        print_json({"owners": found})
        return
    columns = ("id", "email", "name", "operator", "projects", "maxProjects", "createdAt")
    headers = ("id", "email", "name", "operator", "projects", "at most", "created")
    print_lines(format_table(headers, ([owner[column] for column in columns] for owner in found)))


@owners.command()
@click.argument("email")
@json_option
@pass_session
def promote(session: CliSession, email: str, *, as_json: bool) -> None:
    """Make the owner with that EMAIL an operator (for whoever may read LAUNCHDB_HOME)."""
    email = email.strip().lower()
    with _home(session) as tx:
        try:
            owner = people.promote(tx, email, by="operator")
        except (people.OwnerNotFound, ValueError):
            raise CliError(f"there is no owner {email}", NOT_FOUND) from None
    if as_json:
        print_json({"id": owner.id, "email": email, "operator": True})
        return
    print_lines([f"{email} is an operator"])


@owners.command()
@click.argument("email")
@click.option("--operator", is_flag=True, help="Let the owner be an operator, too.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--anew", is_flag=True, help="Let one that is there already have this password, too.")
@json_option
@pass_session
def create(session: CliSession, email: str, *, operator: bool, password_stdin: bool, anew: bool, as_json: bool) -> None:
    """Create an owner with that EMAIL unless there is one, whoever may register (for whoever may read LAUNCHDB_HOME).

    Who is there already keeps the name, and the password but with --anew, which ends what the old one had opened.
    """
    email = email.strip().lower()
    password = (
        sys.stdin.readline().rstrip("\n")
        if password_stdin
        else str(click.prompt("Password", hide_input=True, err=True, confirmation_prompt=True))
    )
    open_home(session.settings).close()
    try:
        made = ensure_owner(session.settings, email, password, operator=operator, anew=anew)
    except people.WeakPassword as error:
        raise CliError(f"the password {error}", USAGE) from None
    if as_json:
        print_json({"email": email, "created": made, "operator": operator})
        return
    became = "was created" if made else "was there already"
    if anew and not made:
        became += ", and has this password and nothing that another one had opened"
        became += "," if operator else ""
    print_lines([f"{email} {became}" + (" and is an operator" if operator else "")])


@owners.command()
@click.argument("email")
@json_option
@pass_session
def invite(session: CliSession, email: str, *, as_json: bool) -> None:
    """Invite EMAIL: print a link to register with, this one time, and mail it where mail is on (operators only)."""
    _tell(session.client.post("/api/admin/owners/invitations", {"email": email.strip()}), as_json=as_json)


@owners.command()
@click.argument("email")
@json_option
@pass_session
def reset(session: CliSession, email: str, *, as_json: bool) -> None:
    """Print a link with which the owner EMAIL sets another password, this one time (operators only)."""
    _tell(session.client.post(f"/api/admin/owners/{_id_of(session, email)}/reset"), as_json=as_json)


@owners.command()
@click.argument("email")
@click.argument("projects", type=_Quota())
@json_option
@pass_session
def quota(session: CliSession, email: str, projects: int | None, *, as_json: bool) -> None:
    """Set how many PROJECTS the owner EMAIL may have: a number, "none" for no limit, or "default" (operators only)."""
    path = f"/api/admin/owners/{_id_of(session, email)}"
    owner = session.client.patch(path, {"maxProjects": projects})
    if as_json:
        print_json(owner)
        return
    most = {None: "as many projects as the installation gives", 0: "any number of projects"}
    print_lines(
        [f"{owner['email']} may have {most.get(projects, f'{projects} projects')}, and has {owner['projects']}"]
    )


def _id_of(session: CliSession, email: str) -> str:
    """Return the id of an owner. Raises CliError."""
    wanted = email.strip().lower()
    known = session.client.pages("/api/admin/owners", "owners")
    owner_id = next((str(owner["id"]) for owner in known if owner["email"] == wanted), None)
    if owner_id is None:
        raise CliError(f"there is no owner {wanted}", NOT_FOUND)
    return owner_id


@contextmanager
def _home(session: CliSession) -> Iterator[Transaction]:
    infra = open_home(session.settings)
    try:
        with infra.database.transaction() as tx:
            yield tx
    finally:
        infra.close()


def _tell(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    print_note(
        f"good once, until {made['expiresAt']}; it is not shown again" + ("; mailed, too" if made["mailed"] else "")
    )
    print_lines([made["link"]])


def _owner(owner: OwnerWithProjects) -> dict[str, Any]:
    return {
        "id": owner.id,
        "email": owner.email,
        "name": owner.name,
        "operator": owner.is_operator,
        "projects": owner.projects,
        "maxProjects": owner.max_projects,
        "createdAt": rfc3339(owner.created_at),
    }
