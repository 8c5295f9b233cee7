"""launchdb schedules: what happens by itself, and when."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_table, json_option, print_json, print_lines


@click.group()
def schedules() -> None:
    """What happens by itself, and when (operators only)."""


@schedules.command("list")
@json_option
@pass_session
def list_schedules(session: CliSession, *, as_json: bool) -> None:
    """List the schedules: their next three times, and what became of the last."""
    found = session.client.get("/api/admin/schedules")
    if as_json:
        print_json(found)
        return
    print_lines(
        format_table(("name", "kind", "cron", "zone", "next", "last"), (_row(row) for row in found["schedules"]))
    )


@schedules.command("set")
@click.argument("name")
@click.option("--cron", help="Five fields: minute hour day month weekday.")
@click.option("--timezone", help="An IANA time zone.")
@click.option("--enable/--disable", "enabled", default=None, help="Whether it fires.")
@json_option
@pass_session
def change(
    session: CliSession, name: str, *, cron: str | None, timezone: str | None, enabled: bool | None, as_json: bool
) -> None:
    """Change when the schedule NAME fires."""
    wanted = {"cron": cron, "timezone": timezone, "enabled": enabled}
    given = {member: value for member, value in wanted.items() if value is not None}
    if not given:
        raise click.UsageError("say what to change: --cron, --timezone, --enable or --disable")
    row = session.client.patch(f"/api/admin/schedules/{name}", given)
    if as_json:
        print_json(row)
        return
    print_lines([f"{row['name']}: {_next(row)}"])


@schedules.command()
@click.argument("name")
@wait_options
@json_option
@pass_session
def run(session: CliSession, name: str, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Begin the job of the schedule NAME at once."""
    answer = session.client.post(f"/api/admin/schedules/{name}/run")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(
        answer, lambda: [f"{answer['job']['kind']} {answer['job']['status']}"], as_json=as_json, waited=not no_wait
    )


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    last = row["lastJob"]
    told = f"{last['status']} {last['finishedAt'] or ''}".rstrip() if last else ""
    return row["name"], row["kind"], row["cron"], row["timezone"], _next(row), told


def _next(row: dict[str, Any]) -> str:
    if row["reason"]:
        return "no worker serves it yet"
    return ", ".join(moment[:16].replace("T", " ") for moment in row["next"]) if row["enabled"] else "disabled"
