"""launchdb audit: who did what, and whether the record is as it was written."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import click

from catalog import audit as catalog_audit
from catalog import audit_chain
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import DONE, FAILURE, USAGE, CliError
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note
from scripts.cli.target import open_home


@click.group()
def audit() -> None:
    """Who did what, and whether the record is as it was written."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
@json_option
@pass_session
def list_lines(session: CliSession, *, limit: int, as_json: bool) -> None:
    """List who did what in the whole installation, newest first (operators only)."""
    found = list(session.client.pages("/api/admin/audit", "audit", limit=limit))
    if as_json:
        print_json({"audit": found})
        return
    columns = ("id", "at", "actor", "action", "outcome", "projectId", "address")
    print_lines(
        format_table(
            ("id", "at", "actor", "action", "outcome", "project", "from"), ([x[c] for c in columns] for x in found)
        )
    )


@audit.command()
@click.argument("action")
@click.option("--detail", default="{}", metavar="JSON", help="What is worth knowing about it; no secrets.")
@json_option
@pass_session
def record(session: CliSession, action: str, *, detail: str, as_json: bool) -> None:
    """Write down what an operator did on the machine itself: an update, a restart (from the home)."""
    if not re.fullmatch(r"[a-z]+\.[a-z-]+", action):
        raise CliError(f"{action} is no action: noun and verb, like platform.update", USAGE)
    try:
        known = json.loads(detail)
    except ValueError as error:
        raise CliError(f"--detail is no JSON: {error}", USAGE) from None
    infra = open_home(session.settings)
    try:
        with infra.database.transaction() as tx:
            catalog_audit.record(tx, catalog_audit.AuditEntry("operator", action, detail=known))
    finally:
        infra.close()
    if as_json:
        print_json({"action": action, "detail": known})
        return
    print_lines([f"{action} is written down"])


@audit.command()
@json_option
@pass_session
def verify(session: CliSession, *, as_json: bool) -> int:
    """Read the whole audit; exit 1, naming the rows, when one was changed, removed or inserted (from the home)."""
    infra = open_home(session.settings)
    try:
        with infra.database.transaction() as tx:
            tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            faults, end = audit_chain.verify(tx), audit_chain.chain_state(tx)
    finally:
        infra.close()
    if as_json:
        print_json({"intact": not faults, "faults": [asdict(fault) for fault in faults], "lastId": end.last_id,
                   "link": end.link, "unsealed": end.unsealed})  # fmt: skip
    elif faults:
        print_lines(format_table(("row", "fault"), ([fault.id, fault.fault] for fault in faults)))
    else:
        print_lines(
            [f"the audit is as it was written, up to row {end.last_id}; {end.unsealed} rows are not sealed yet"]
        )
    if faults:
        print_note(f"the audit was tampered with: {len(faults)} faults")
    return FAILURE if faults else DONE
