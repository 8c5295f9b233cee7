"""launchdb projects keys and signing-keys: opaque API keys, an imported JWT secret, and what signs users' tokens."""

from __future__ import annotations

from typing import IO, Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import USAGE, CliError
from scripts.cli.jobs.progress import conclude, print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_pairs, format_table, json_option, print_json, print_lines

ALGORITHMS = ("ES256", "RS256", "HS256")
LONGEST_GRACE = 30 * 24 * 3600
# As `.env` files of projects elsewhere name them: the member of our request for each.
IMPORTED = {"JWT_SECRET": "secret", "ANON_KEY": "anonKey", "SERVICE_ROLE_KEY": "serviceRoleKey"}
grace_option = click.option(
    "--grace", type=click.IntRange(0, LONGEST_GRACE), metavar="SECONDS", help="How long the old ones stay good."
)
algorithm_choice = click.Choice(ALGORITHMS)


@click.group()
def keys() -> None:
    """List, create and revoke API keys of a project; import a JWT secret made elsewhere."""


@keys.command("list")
@click.argument("project", required=False)
@json_option
@pass_session
def list_keys(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """List the API keys of PROJECT; of secret ones only how they begin."""
    answer = session.client.get(f"{session.project_path(project)}/keys")
    if as_json:
        print_json(answer)
        return
    columns = ("id", "name", "type", "role", "value", "createdAt")
    print_lines(format_table((*columns[:-1], "created"), ([key[name] for name in columns] for key in answer["keys"])))


@keys.command()
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] NAME")
@click.option("--type", "key_type", type=click.Choice(("publishable", "secret")), required=True, help="For whom it is.")
@wait_options
@json_option
@pass_session
def create(
    session: CliSession,
    words: tuple[str, ...],
    *,
    key_type: str,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Create an API key called NAME for PROJECT and print it. A secret one is shown this one time."""
    path, name = session.path_and(words, "NAME")
    answer = session.client.post(f"{path}/keys", {"name": name, "type": key_type})
    value = answer["apiKey"]
    answer = {**wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout), "apiKey": value}
    told = {"id": answer["key"]["id"], "role": answer["key"]["role"], "key": value}
    print_outcome(answer, lambda: format_pairs(told), as_json=as_json, waited=not no_wait)


@keys.command()
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] KEY")
@wait_options
@json_option
@pass_session
def revoke(session: CliSession, words: tuple[str, ...], *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Revoke the API key with the id KEY of PROJECT. What uses it is refused at once."""
    path, key = session.path_and(words, "KEY")
    answer = session.client.delete(f"{path}/keys/{key}")
    conclude(session.client, answer, f"{key} revoked", no_wait=no_wait, timeout=timeout, as_json=as_json)


@keys.command("import")
@click.argument("project", required=False)
@click.option("--file", "file", type=click.File(), default="-", help="Lines NAME=VALUE (default: standard input).")
@grace_option
@wait_options
@json_option
@pass_session
def import_secret(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    *,
    file: IO[str],
    grace: int | None,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Have PROJECT go on with JWT_SECRET and, where they are given, ANON_KEY and SERVICE_ROLE_KEY made elsewhere."""
    body: dict[str, Any] = _imported(file.read())
    if grace is not None:
        body["graceSeconds"] = grace
    answer = session.client.post(f"{session.project_path(project)}/jwt-secret", body)
    told = "imported; see `launchdb projects connection`"
    conclude(session.client, answer, told, no_wait=no_wait, timeout=timeout, as_json=as_json)


@click.group("signing-keys")
def signing() -> None:
    """List, create, rotate and revoke the keys that sign the tokens of a project's users."""


@signing.command("list")
@click.argument("project", required=False)
@json_option
@pass_session
def list_signing_keys(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """List the signing keys of PROJECT."""
    answer = session.client.get(f"{session.project_path(project)}/signing-keys")
    if as_json:
        print_json(answer)
        return
    columns = ("id", "algorithm", "state", "createdAt", "endsAt")
    print_lines(
        format_table((*columns[:3], "created", "ends"), ([key[name] for name in columns] for key in answer["keys"]))
    )


@signing.command("create")
@click.argument("project", required=False)
@click.option("--algorithm", type=algorithm_choice, default="ES256", show_default=True, help="What it signs by.")
@wait_options
@json_option
@pass_session
def create_signing_key(
    session: CliSession,
    project: str | None,
    *,
    algorithm: str,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Create a signing key of PROJECT that stands by: it is published, and signs nothing yet."""
    answer = session.client.post(f"{session.project_path(project)}/signing-keys", {"algorithm": algorithm})
    conclude(session.client, answer, "a signing key stands by", no_wait=no_wait, timeout=timeout, as_json=as_json)


@signing.command("rotate")
@click.argument("project", required=False)
@click.option("--algorithm", type=algorithm_choice, help="Of the new key (default: that of the one that stands by).")
@grace_option
@wait_options
@json_option
@pass_session
def rotate_signing_key(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    *,
    algorithm: str | None,
    grace: int | None,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Sign the tokens of PROJECT's users by the key that stands by, or by a new one."""
    body = {"algorithm": algorithm, "graceSeconds": grace}
    answer = session.client.post(f"{session.project_path(project)}/signing-keys/rotate", body)
    conclude(session.client, answer, "another key signs", no_wait=no_wait, timeout=timeout, as_json=as_json)


@signing.command("revoke")
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] KEY")
@wait_options
@json_option
@pass_session
def revoke_signing_key(
    session: CliSession, words: tuple[str, ...], *, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Revoke the signing key with the id KEY of PROJECT: what it signed is refused."""
    path, key = session.path_and(words, "KEY")
    answer = session.client.post(f"{path}/signing-keys/{key}/revoke", {})
    conclude(session.client, answer, f"{key} revoked", no_wait=no_wait, timeout=timeout, as_json=as_json)


def _imported(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    found = {name.strip().removeprefix("export "): value.strip().strip("\"'") for name, _, value in pairs}
    if not found.get("JWT_SECRET"):
        raise CliError("there is no line JWT_SECRET=…", USAGE)
    return {member: found[name] for name, member in IMPORTED.items() if found.get(name)}
