"""launchdb projects sql, psql: the way into a project's own database, as its owner."""

from __future__ import annotations

import sys
from typing import IO, Any

import click
from psycopg.conninfo import conninfo_to_dict

from catalog.ids import is_project_id
from infra.embedded import psql as program
from infra.errors import Refused
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, USAGE, CliError
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note


@click.command()
@click.argument("words", nargs=-1, metavar="[PROJECT] [QUERY]")
@click.option("-f", "--file", "script", type=click.File(), help="Read the SQL from this file (- for standard input).")
@click.option("--read-only", is_flag=True, help="Run in a read-only transaction.")
@click.option("--timeout-ms", type=click.IntRange(min=1), metavar="N", help="Give it no longer than this.")
@json_option
@pass_session
def sql(
    session: CliSession,
    words: tuple[str, ...],
    *,
    script: IO[str] | None,
    read_only: bool,
    timeout_ms: int | None,
    as_json: bool,
) -> None:
    """Run QUERY in PROJECT as its owner and print its rows. One word alone is the query: LAUNCHDB_PROJECT is meant."""
    project, query = _meant(words, script)
    body: dict[str, Any] = {"query": query, "readOnly": read_only}
    if timeout_ms is not None:
        body["timeoutMs"] = timeout_ms
    answer = session.client.ask(f"/api/projects/{session.project(project)['id']}/sql", body)
    if as_json:
        print_json(answer)
        return
    for notice in answer["notices"]:
        print_note(f"{notice['severity']}: {notice['message']}")
    names = [column["name"] for column in answer["columns"]]
    if names:
        print_lines(format_table(names, ([row[name] for name in names] for row in answer["rows"])))
    print_note(_said(answer))


@click.command()
@click.argument("project", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print where it would connect, without the password.")
@pass_session
def psql(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """Open psql in PROJECT as its owner. The password goes by psql's environment, never by its arguments."""
    path = f"/api/projects/{session.project(project)['id']}/connection"
    found = session.client.get(path)
    if found["databaseUrl"] is None:
        raise CliError(f"{found['reason']}; `launchdb projects sql` goes by the API", NOT_FOUND)
    known = conninfo_to_dict(found["databaseUrl"])
    where = {name: str(known[name]) for name in ("host", "port", "dbname", "user") if known.get(name)}
    try:
        installed = program.find(session.settings)
    except Refused as error:
        raise CliError(str(error), NOT_FOUND) from error
    if as_json:
        print_json({**where, "program": str(installed)})
        return
    sys.stdout.flush()
    program.exec_psql(installed, where, str(known["password"]))


def _meant(words: tuple[str, ...], script: IO[str] | None) -> tuple[str | None, str]:
    """Return project and query: the last word is the query, unless a file holds it."""
    most = 1 if script else 2
    if len(words) > most or (not script and not words):
        raise CliError("give PROJECT and QUERY, or PROJECT and -f FILE", USAGE)
    if script:
        return (words[0] if words else None), script.read()
    if len(words) == 1 and is_project_id(words[0]):
        raise CliError("give the QUERY too, or -f FILE", USAGE)
    return (words[0] if len(words) == most else None), words[-1]


def _said(answer: dict[str, Any]) -> str:
    left_out = f"; only {len(answer['rows'])} are shown" if answer["truncated"] else ""
    return f"{answer['command'] or 'done'}: {answer['rowCount']} rows in {answer['durationMs']} ms{left_out}"
