"""project.import_users: the users of a project elsewhere, out of a dump of its schema auth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from catalog import names
from catalog import project_states as states
from infra.postgres.auth_tables import loading
from infra.postgres.tenant_session import Bounds, tenant_session
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, Step, kind
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

SECONDS, STATEMENT_SECONDS, LOCK_SECONDS = 6 * 3600.0, 300.0, 10.0
SIZE = 4 * 1024 * 1024


def load_users(run: Run[ImportUsers]) -> None:
    """Ensure that the dump's users are there, with all that is theirs. Raises Refused, GiveUp, naming what is wrong."""
    project = run.args.project_id
    with run.infra.database.autocommit() as tx:
        if states.state_of(tx, project) != "active":
            raise GiveUp("the project is not active")
    path = _path(run)
    if not path.is_file():
        raise GiveUp("the file is not in the imports folder any more; import anew")
    # Triggers of the owner's run in it: with no more rights than theirs, and not for ever.
    login = names.roles(project).auth
    uri = run.infra.databases.uri(names.database(project), login, stored_secrets(run)[names.password(login)])
    bounds = Bounds(SECONDS, statement_seconds=STATEMENT_SECONDS, lock_seconds=LOCK_SECONDS, size=SIZE)
    size = path.stat().st_size

    def look(line: int) -> None:
        run.check()
        run.progress(min(line, size), size, f"line {line}")

    with tenant_session(run.infra.databases.cluster, uri, run.session, bounds, look=run.check) as session:
        report = loading.load(session, path, look)
    run.result["projectId"] = project
    run.result.update({_CAMEL[name]: value for name, value in asdict(report).items()})
    for table, columns in report.left_columns.items():
        run.log(f"columns of auth.{table} that are not kept here: {', '.join(columns)}")


def remove_users_file(run: Run[ImportUsers]) -> None:
    """Remove the file: it holds what people sign in with."""
    _path(run).unlink(missing_ok=True)


def on_retry(args: ImportUsers, tx: Transaction) -> None:
    """Allow the import to go on. Raises JobConflict when the project is not active."""
    if states.state_of(tx, args.project_id) != "active":
        raise JobConflict("the project is not active")


_CAMEL = {"found": "found", "written": "written", "left_columns": "leftColumns", "left_tables": "leftTables"}


def _path(run: Run[ImportUsers]) -> Path:
    return run.infra.settings.imports_folder / run.args.file


@kind(
    "project.import_users",
    steps=(
        Step(load_users, long=True, title="Load the users"),
        Step(remove_users_file, title="Remove the file"),
    ),
    queue=BULK,
    lane="bulk",
    max_running=2,
    conflicts=("project.pause", "project.restart", "project.delete"),
    retried=on_retry,
)
@dataclass(frozen=True)
class ImportUsers:
    """Loads users, identities, sessions and factors of a project elsewhere, by a dump of its schema auth.

    file  its name in the imports folder
    """

    project_id: str
    file: str
