"""launchdb users import: people of a project elsewhere, out of a dump of its schema auth."""

from __future__ import annotations

import shutil
from pathlib import Path
from secrets import token_hex
from typing import Any

import click

from infra import files
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_table, json_option


@click.command("import")
@click.argument("words", nargs=-1, required=True, metavar="[PROJECT] FILE")
@wait_options
@json_option
@pass_session
def import_users(
    session: CliSession, words: tuple[str, ...], *, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Load users out of a plain dump of schema auth, on the server itself; who is there already stays as they are."""
    if len(words) > 2:
        raise click.UsageError("name the project and one file")
    project = session.project(words[0] if len(words) == 2 else None)["id"]
    file = Path(words[-1])
    if not file.is_file():
        raise CliError(f"there is no file {file}", NOT_FOUND)
    copy = files.ensure_folder(session.settings.imports_folder) / f"users-{token_hex(8)}.sql"
    try:
        with files.translate_os_errors(copy):
            shutil.copyfile(file, copy)
            copy.chmod(0o600)
        answer = session.client.post(f"/api/projects/{project}/users/import", {"file": copy.name})
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: _lines(answer["job"].get("result") or {}), as_json=as_json, waited=not no_wait)


def _lines(result: dict[str, Any]) -> list[str]:
    if "found" not in result:
        return ["import asked for"]
    rows = [(table, result["written"].get(table, 0), count) for table, count in result["found"].items()]
    left = [f"columns of auth.{table} left aside: {', '.join(names)}" for table, names in result["leftColumns"].items()]
    left += [f"auth.{table} left aside: {count} rows" for table, count in result["leftTables"].items()]
    return [*format_table(("table", "written", "found"), rows), *left]
