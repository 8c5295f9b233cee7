"""launchdb workers: which processes carry out jobs, and what each is at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from scripts.cli.context import Session, pass_session
from scripts.cli.output import age, emit, emit_json, json_option, table


@click.command()
@json_option
@pass_session
def workers(session: Session, *, as_json: bool) -> None:
    """List the workers: their queues, the job at hand and when they were last heard of (operators only)."""
    found = session.client.get("/api/admin/workers")
    if as_json:
        emit_json(found)
        return
    emit(rows(found["workers"]))


def rows(found: list[dict[str, Any]]) -> list[str]:
    """Return workers as a table."""
    columns = ("worker", "host", "queues", "job", "runs for", "last beat")
    return table(
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
    return age((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
