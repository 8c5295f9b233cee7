"""project.extension: an extension of the list is installed in a project's database, or is gone from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import names
from catalog import project_states as states
from infra.postgres.extensions import Extensions
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import Step, kind
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run


def change_extension(run: Run[ExtendProject]) -> None:
    """Install it or drop it. Raises GiveUp when the project is not active; Refused, saying why it cannot be."""
    project = run.args.project_id
    with run.infra.database.autocommit() as tx:
        if states.state_of(tx, project) != "active":
            raise GiveUp("the project is not active")
    owner = names.roles(project).owner
    uri = run.infra.databases.uri(names.database(project), owner, stored_secrets(run)[names.password(owner)])
    extensions = Extensions(run.infra.databases.cluster, names.database(project), uri, run.session, run.check)
    run.check()
    if run.args.present:
        found = extensions.ensure(run.args.extension)
        run.result.update(version=found.installed, schema=found.schema)
    else:
        extensions.remove(run.args.extension, cascade=run.args.cascade)
    run.result.update(projectId=project, extension=run.args.extension, installed=run.args.present)


def on_retry(args: ExtendProject, tx: Transaction) -> None:
    """Allow it to go on. Raises JobConflict when the project is not active."""
    if states.state_of(tx, args.project_id) != "active":
        raise JobConflict("the project is not active")


@kind(
    "project.extension",
    steps=(Step(change_extension, title="Install or drop the extension"),),
    attempts=3,
    coalesces=True,
    retried=on_retry,
)
@dataclass(frozen=True)
class ExtendProject:
    """Installs an extension of the list in a project's database, or drops it. cascade: with what depends on it."""

    project_id: str
    extension: str
    present: bool = True
    cascade: bool = False
