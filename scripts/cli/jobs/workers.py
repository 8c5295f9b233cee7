"""launchdb workers: which processes carry out jobs, and what each is at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.output import format_age, format_table, json_option, print_json, print_lines


@click.command()
@json_option
@pass_session
def workers(session: CliSession, *, as_json: bool) -> None:
    """List the workers: their queues, the job at hand and when they were last heard of (operators only)."""
    found = session.client.get("/api/admin/workers")
    if as_json:
        print_json(found)
        return
    print_lines(rows(found["workers"]))


def rows(found: list[dict[str, Any]]) -> list[str]:
    """Return workers as a table."""
    columns = ("worker", "host", "queues", "job", "runs for", "last beat")
    return format_table(
        columns,
        (
            (
                worker["name"],
                worker["host"],
                worker["queues"],
                worker["currentJob"],
                since(worker["startedAt"]),
                f"{since(worker['lastBeatAt'])} ago",
            )
            for worker in found
        ),
    )


def since(moment: str) -> str | None:
    """Return how long ago a time was that the API gave."""
    return format_age((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
