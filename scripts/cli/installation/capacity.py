"""launchdb capacity: what fits on this server, and one size for all pools."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.output import format_pairs, json_option, print_json, print_lines, print_note

PATH = "/api/admin/capacity"


@click.command()
@click.option("--projects", type=click.IntRange(min=0), metavar="N", help="Plan for N projects, not those there are.")
@click.option("--pool-size", type=click.IntRange(1, 100), metavar="N", help="Give every project, old and new, N.")
@json_option
@pass_session
def capacity(session: CliSession, *, projects: int | None, pool_size: int | None, as_json: bool) -> None:
    """Show what the projects need of connections, memory and disk, and what is used; or set the size of all pools."""
    if pool_size is not None:
        done = session.client.patch(PATH, {"poolSize": pool_size})
        print_note(f"{done['changed']} pools are changed by {len(done['jobs'])} jobs; new ones are of {pool_size}")
    found = session.client.get(PATH, projects=projects)
    if as_json:
        print_json(found)
        return
    print_lines(_lines(found))


def _lines(found: dict[str, Any]) -> list[str]:
    links, disk = found["connections"], found["storage"]
    shown = {
        "projects": found["projects"],
        "pool of a new project": found["poolSize"],
        "connections": f"{links['max']}: {links['reserved']} reserved, {links['direct']} the platform's,"
        f" {links['pools']} in pools (and {links['reserves']} to borrow); room for {max(0, links['room'])}",
        "connections in use": links["inUse"],
        "memory planned": f"{found['memoryMb'] / 1000:g} GB",
        "databases": f"{disk['databaseBytes'] / 1e9:.2f} GB",
        "disk planned": f"{disk['plannedGb']:g} GB; take {disk['adviceFromGb']} to {disk['adviceToGb']} GB",
    }
    lines = format_pairs(shown)
    if links["room"] < 0:
        lines.append(f"the pools do not fit: set POSTGRES_MAX_CONNECTIONS to {links['proposal']} or more")
    return lines
