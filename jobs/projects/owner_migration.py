"""Carries an owner's migration through a job: what it prints, what became of it, and what may be tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import names, owner_migrations
from infra.errors import Unavailable
from infra.postgres.owner_migration import MigrationFailed, MigrationScript, OwnerSession, TransactionEnded
from jobs.engine.errors import GiveUp, HandedBack
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from catalog.owner_migrations import OwnerMigration
    from infra.composition import Infra
    from jobs.engine.run import Run

MOST_LINES, LONGEST_LINE = 200, 1000


def session_of(infra: Infra, project_id: str, known: dict[str, str], session: str) -> OwnerSession:
    """Return the way into a project's database as its owner. known: its stored secrets."""
    owner = names.roles(project_id).owner
    uri = infra.databases.uri(names.database(project_id), owner, known[names.password(owner)])
    return OwnerSession(infra.databases.cluster, uri, session)


def apply(run: Run[Any], migration_id: int) -> None:
    """Apply the migration, once. Raises GiveUp when it cannot be, or may be half applied."""
    migration = _found(run, migration_id)
    owner = session_of(run.infra, migration.project_id, stored_secrets(run), run.session)
    if migration.status == "running":
        migration = _became(run, owner, migration)
    if migration.status == "doubtful":
        raise GiveUp(migration.doubt)
    if migration.status != "applied":
        _apply_now(run, owner, migration)
    run.result.update(projectId=migration.project_id, version=migration.version, checksum=migration.checksum)


def settle(run: Run[Any], migration_id: int) -> None:
    """Record what became of a migration that was begun and is not gone on with."""
    migration = _found(run, migration_id)
    if migration.status == "running":
        owner = session_of(run.infra, migration.project_id, stored_secrets(run), run.session)
        migration = _became(run, owner, migration)
    if migration.status in ("queued", "running"):
        _say(run, migration, "failed")


def _found(run: Run[Any], migration_id: int) -> OwnerMigration:
    with run.infra.database.autocommit() as tx:
        migration = owner_migrations.find(tx, migration_id)
    if migration is None or migration.status == "replaced":
        raise GiveUp("the migration was replaced by one that was sent later")
    return migration


def _became(run: Run[Any], owner: OwnerSession, migration: OwnerMigration) -> OwnerMigration:
    """Find out what an earlier attempt left behind; the server's word counts, not the owner's table."""
    if migration.began_as is None:
        _say(run, migration, "doubtful")
        return _found(run, migration.id)
    state = owner.transaction_outcome(migration.began_as)
    if state == "in progress":
        raise Unavailable("the session of an earlier attempt has not ended yet")
    if state != "aborted":
        _say(run, migration, "applied" if state == "committed" else "doubtful")
    return _found(run, migration.id)


def _apply_now(run: Run[Any], owner: OwnerSession, migration: OwnerMigration) -> None:
    with run.infra.database.autocommit() as tx:
        before = owner_migrations.failed_before(tx, migration)
        text = owner_migrations.sql_of(tx, migration.id)
    if before is not None:
        raise GiveUp(f"version {before}, which comes before it, has failed")
    script = MigrationScript(migration.version, migration.name, text, migration.timeout_ms, overwrite=migration.rerun)
    watcher = _Watcher(run, migration)
    run.check()
    try:
        (owner.apply if migration.transactional else owner.apply_without_transaction)(script, watcher)
    except MigrationFailed as error:
        half = isinstance(error, TransactionEnded) or (watcher.has_begun and not migration.transactional)
        if half:
            _say(run, migration, "doubtful")
        # Without what it came from: a log is no place for the owner's SQL.
        raise GiveUp(f"{error}; {migration.doubt}" if half else str(error), facts=error.facts) from None
    finally:
        watcher.flush()
    _say(run, migration, "applied")


def _say(run: Run[Any], migration: OwnerMigration, status: str) -> None:
    with run.transaction() as tx:
        owner_migrations.mark_settled(tx, migration.id, status)


class _Watcher:
    """Keeps the transaction's name, passes what is said on to the job's events, and lets the job be stopped."""

    def __init__(self, run: Run[Any], migration: OwnerMigration) -> None:
        self.has_begun = False
        self._run = run
        self._migration = migration
        self._lines: list[str] = []
        self._count = 0

    def begun(self, transaction: str | None) -> None:
        """Keep the transaction; from now on it may have had an effect."""
        with self._run.transaction() as tx:
            owner_migrations.mark_begun(tx, self._migration.id, transaction)
        self.has_begun = True

    def told(self, line: str) -> None:
        """Keep a line until it can be passed on; so many, and no longer than so."""
        self._count += 1
        if self._count <= MOST_LINES:
            self._lines.append(line[:LONGEST_LINE])
        elif self._count == MOST_LINES + 1:
            self._lines.append("it says more than is kept here")

    def look(self) -> None:
        """Pass on what was said, and a safe point; a worker that leaves waits for what could not be done again."""
        self.flush()
        try:
            self._run.check()
        except HandedBack:
            if self._migration.transactional:
                raise

    def flush(self) -> None:
        """Pass on what was said."""
        lines, self._lines = self._lines, []
        for line in lines:
            self._run.log(line)
