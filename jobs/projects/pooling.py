"""What the pooler serves: the ledger says which databases, the catalogue how many connections each may have."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from catalog import names, settings
from config.settings import load
from infra.composition import Infra
from infra.errors import InfraError
from infra.pooler.pooler import PoolerEntry
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from catalog.settings_model import ProjectSettings
    from jobs.engine.run import Run

SQL = statements(__file__)
SESSION = "launchdb:prepare"
# A pool that takes all connections of its login would leave none to who listens and who proves a round trip.
CONNECTIONS_OF_OTHERS = 3
AT_ONCE = 8


@contextmanager
def paused_database(run: Run[Any]) -> Iterator[None]:
    """Ensure that the pooler holds no session of the database while it is renamed.

    Its clients wait for `reconnect_pooler`.

    When that fails they need not wait for another attempt.
    """
    database = names.database(run.args.project_id)
    run.infra.pooler.release(database)
    try:
        yield
    except BaseException:
        with suppress(InfraError):
            run.infra.pooler.resume(database)
        raise


def update_pooler(infra: Infra) -> bool:
    """Ensure that the pooler serves what the ledger says; return whether it had to be told. Raises Unavailable."""
    return infra.pooler.serve(lambda: pooler_entries(infra))


def pooler_entries(infra: Infra) -> Sequence[PoolerEntry]:
    """Return what the pooler has to serve."""
    with infra.database.autocommit() as tx:
        rows = tx.rows(SQL.entries)
    return [
        pooler_entry(infra, row["database"], row["pool_size"], settings.effective(row["settings"], infra.settings))
        for row in rows
    ]


def pooler_entry(infra: Infra, database: str, pool_size: int, chosen: ProjectSettings) -> PoolerEntry:
    """Return how the pooler has to serve a database: within what the database itself admits."""
    room = chosen.connections - CONNECTIONS_OF_OTHERS
    size = min(pool_size, room)
    return PoolerEntry(database, size, min(infra.settings.pool_reserve, room - size))


def differences(served: Mapping[str, PoolerEntry], wanted: PoolerEntry, *, closed: bool) -> list[str]:
    """Return in words in what the pooler's serving of a project differs from what it should be."""
    seen = served.get(wanted.database)
    found: str | None = None
    if seen is None or closed:
        found = ("it is missing" if not closed else None) if seen is None else "a paused project is served"
    elif seen.paused:
        found = "its clients are held back"
    elif seen != wanted:
        found = "its pool was changed"
    return [f"pooler {wanted.database}: {found}"] if found else []


def hold_all_clients(infra: Infra) -> None:
    """Hold back the clients of all databases, so that none fails while Postgres is restarted. Raises Unavailable.

    Whoever is killed before `resume` leaves that to the sweep.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(infra.pooler.release, infra.pooler.databases()))


def resume_all_clients(infra: Infra) -> None:
    """Resume all clients. Raises Unavailable for those that cannot be, after all others."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        resumed = [threads.submit(infra.pooler.resume, database) for database in infra.pooler.databases()]
    for one in resumed:
        one.result()


def _prepare(infra: Infra) -> None:
    """Write the pooler's files for its start, and let its login be there."""
    infra.pooler.prepare(SESSION)
    infra.pooler.write(lambda: pooler_entries(infra))


ERRANDS = {"prepare": _prepare, "hold": hold_all_clients, "resume": resume_all_clients}


def main(errand: str = "prepare") -> int:
    """`python -m jobs.projects.pooling [prepare|hold|resume]`: do it; say in one line why not."""
    if errand not in ERRANDS:
        print(f"{errand} is none of {', '.join(ERRANDS)}", file=sys.stderr)  # noqa: T201 - who called reads it
        return 2
    infra = Infra.open(load(), name="launchdb-prepare")
    try:
        ERRANDS[errand](infra)
    except InfraError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the container's log keeps it
        return 1
    finally:
        infra.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
