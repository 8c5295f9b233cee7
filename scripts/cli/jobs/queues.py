"""launchdb queues: what waits in each, and a hold on taking more."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.output import format_age, format_table, json_option, print_json, print_lines


@click.group()
def queues() -> None:
    """What waits to be done, and a hold on it (operators only)."""


@queues.command("list")
@json_option
@pass_session
def list_queues(session: CliSession, *, as_json: bool) -> None:
    """List the queues: how much waits and for how long, what runs, and who paused them."""
    found = session.client.get("/api/admin/queues")
    if as_json:
        print_json(found)
        return
    print_lines(rows(found["queues"]))


@queues.command()
@click.argument("name")
@json_option
@pass_session
def pause(session: CliSession, name: str, *, as_json: bool) -> None:
    """Pause the queue NAME: no worker takes anything more from it; what runs is finished."""
    _asked(session, name, "pause", as_json=as_json)


@queues.command()
@click.argument("name")
@json_option
@pass_session
def resume(session: CliSession, name: str, *, as_json: bool) -> None:
    """Resume the queue NAME: workers take from it again."""
    _asked(session, name, "resume", as_json=as_json)


def rows(found: list[dict[str, Any]]) -> list[str]:
    """Return queues as a table."""
    return format_table(
        ("queue", "waiting", "running", "oldest", "paused"),
        (
            (queue["name"], queue["depth"], queue["running"], format_age(queue["oldestAgeSeconds"]), _paused(queue))
            for queue in found
        ),
    )


def _paused(queue: dict[str, Any]) -> str | None:
    return queue["pausedAt"] and f"{queue['pausedAt']} by {queue['pausedBy']}"


def _asked(session: CliSession, name: str, verb: str, *, as_json: bool) -> None:
    # A name that is no part of a path leads nowhere, and that reads as if the caller were no operator.
    if name not in {queue["name"] for queue in session.client.get("/api/admin/queues")["queues"]}:
        raise CliError(f"there is no queue {name}", NOT_FOUND)
    queue = session.client.post(f"/api/admin/queues/{name}/{verb}")
    if as_json:
        print_json(queue)
        return
    print_lines(rows([queue]))
