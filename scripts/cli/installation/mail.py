"""launchdb mail: whether mail arrives."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import json_option


@click.group()
def mail() -> None:
    """See whether mail arrives (operators only)."""


@mail.command()
@click.argument("address")
@wait_options
@json_option
@pass_session
def test(session: CliSession, address: str, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Send a trial mail to ADDRESS and say whether the server took it; exit 3 when it did not."""
    answer = session.client.post("/api/admin/mail/test", {"to": address})
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: _told(answer, address), as_json=as_json, waited=not no_wait)


def _told(answer: dict[str, Any], address: str) -> list[str]:
    job = answer["job"]
    taken = (job.get("result") or {}).get("takenBy")
    if not taken:
        return [f"{job['id']} {job['status']}"]
    return [f"taken by {taken} for {address}" + ("; see `launchdb mailbox`" if taken == "mailbox" else "")]
