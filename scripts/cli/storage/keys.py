"""launchdb storage keys: the S3 access keys of a project."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.jobs.progress import conclude, print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_pairs, format_table, json_option, print_json, print_lines

_KEYS = "/storage/keys"


@click.group()
def keys() -> None:
    """List, create and revoke the S3 access keys of a project."""


@keys.command("list")
@click.argument("project", required=False)
@json_option
@pass_session
def list_keys(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """List the S3 access keys of PROJECT, without their secrets."""
    answer = session.client.get(session.project_path(project) + _KEYS)
    if as_json:
        print_json(answer)
        return
    rows = ([key["accessKeyId"], key["name"], key["createdAt"]] for key in answer["keys"])
    print_lines(format_table(("access key id", "name", "created"), rows))


@keys.command()
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] NAME")
@wait_options
@json_option
@pass_session
def create(session: CliSession, words: tuple[str, ...], *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Create an S3 access key called NAME for PROJECT and print it. Its secret is shown this one time."""
    path, name = session.path_and(words, "NAME")
    answer: dict[str, Any] = session.client.post(path + _KEYS, {"name": name})
    secret = answer["secretAccessKey"]
    answer = {**wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout), "secretAccessKey": secret}
    told = {"access key id": answer["key"]["accessKeyId"], "secret access key": secret}
    print_outcome(answer, lambda: format_pairs(told), as_json=as_json, waited=not no_wait)


@keys.command()
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] KEY")
@wait_options
@json_option
@pass_session
def revoke(session: CliSession, words: tuple[str, ...], *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Revoke the S3 access key with the id KEY of PROJECT. What it signs is refused at once."""
    path, key = session.path_and(words, "KEY")
    answer = session.client.delete(f"{path}{_KEYS}/{key}")
    conclude(session.client, answer, f"{key} revoked", no_wait=no_wait, timeout=timeout, as_json=as_json)
