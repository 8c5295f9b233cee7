"""What kinds do to a project: one step for each act, whoever needs it. Each looks at the catalogue and the world.

A kind that does an act only in some state of the project says so in its declaration: `conditions.only_if`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from catalog import names, secrets
from catalog import project_states as states
from infra.errors import LoginRefused
from infra.instances.instances import CreatedBy
from infra.instances.spec_files import ProjectSpec
from infra.postgres.admin.upgrade_login import UpgradeLogin
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.sql import statements
from jobs.engine.errors import GiveUp
from jobs.projects import data_plane, pooling
from jobs.projects.conditions import settled, status
from jobs.projects.project_secrets import secret_makers

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.project_states import State
    from infra.instances.spec_files import SpecFiles
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault
    from jobs.engine.run import AtomicRun, Run

S = TypeVar("S", bound=ProjectSpec)
SQL = statements(__file__)
POOLER, AUTH, STORAGE = "pooler", "auth", "storage"


def store_secrets(run: AtomicRun[Any], tx: Transaction, vault: Vault) -> None:
    """Make everything random of a new project now, so that each later step may run twice and still mean the same."""
    project = run.args.project_id
    if not states.is_in(tx, project, states.SETTLED):
        secrets.store_once(tx, vault, project, secret_makers(project, int(tx.value(SQL.now))))


def forget_secrets(run: Run[Any]) -> None:
    """Forget the project's secrets."""
    with run.transaction() as tx:
        secrets.delete_all(tx, run.args.project_id)


def mark_active(run: AtomicRun[Any], tx: Transaction, template: str | None = None) -> None:
    """Move the project into the state active. template: the one that its database is equal to, when it is new."""
    _mark(run, tx, "active", template=template)


def mark_paused(run: AtomicRun[Any], tx: Transaction) -> None:
    """Move the project into the state paused."""
    _mark(run, tx, "paused")


def _mark(run: AtomicRun[Any], tx: Transaction, state: State, *, template: str | None = None) -> None:
    """Go the way to a state that bears the kind's name. Raises GiveUp when the project is no longer where it begins."""
    if not states.move(tx, run.args.project_id, state, by=run.kind, template=template):
        raise GiveUp("the project is in another state by now")
    run.result["projectId"] = run.args.project_id


def create_roles(run: Run[Any]) -> None:
    """Ensure that the project has its roles, the logins with their stored passwords."""
    data_plane.set_passwords(run, data_plane.passwords(run.args.project_id, data_plane.stored_secrets(run)))


def update_roles(run: Run[Any]) -> None:
    """Ensure that a settled project has exactly its roles; a password that is coming is for a rotation to set."""
    project = settled(run)
    if project is None:
        return
    run.check()
    seen = run.infra.databases.survey(names.roles(project.id), run.session)
    known = data_plane.stored_secrets(run)
    data_plane.set_passwords(run, data_plane.standing_passwords(seen, project.id, known))


def drop_roles(run: Run[Any]) -> None:
    """Drop the project's roles; last of all, since a role that owns something cannot be dropped."""
    roles = names.roles(run.args.project_id)
    run.ledger.mark_releasing("role", *roles.all)
    run.check()
    run.infra.databases.drop_roles(roles, run.session)
    run.ledger.mark_gone("role", *roles.all)


def update_database(run: Run[Any]) -> None:
    """Set the rights, settings and limits of a settled project's database; a paused one's logins stay out.

    Raises Refused when the database is gone: none is made instead.
    """
    if settled(run) is not None:
        settle_logins(run)


def drop_database(run: Run[Any]) -> None:
    """Drop the project's database and its staging databases; the sessions that are left are ended."""
    database = names.database(run.args.project_id)
    staging = ProjectStaging(run.infra.databases, names.roles(run.args.project_id), run.session)
    for use in names.STAGING_USES:
        staging.drop(names.staging(run.args.project_id, use))
    staging.drop_restorer()
    UpgradeLogin(run.infra.databases.cluster, names.roles(run.args.project_id), database, run.session).drop()
    run.ledger.mark_releasing("database", database)
    run.check()
    run.infra.databases.drop_database(database, names.roles(run.args.project_id), run.session)
    run.ledger.mark_gone("database", database)
    run.ledger.delete_gone("database", *(names.staging(run.args.project_id, use) for use in names.STAGING_USES))


def allow_logins(run: Run[Any]) -> None:
    """Admit the project's logins, with its limits."""
    _mend(run, closed=False)


def refuse_logins(run: Run[Any]) -> None:
    """Refuse the project's logins and end the sessions there are; backups stay possible, all data stays."""
    _mend(run, closed=True)


def settle_logins(run: Run[Any]) -> None:
    """Admit the project's logins, with its limits; those of a paused one stay out."""
    (refuse_logins if status(run) in states.PAUSED else allow_logins)(run)


def _mend(run: Run[Any], *, closed: bool) -> None:
    project = run.args.project_id
    databases = run.infra.databases.with_limits(data_plane.stored_limits(run))
    run.check()
    databases.mend_database(names.database(project), names.roles(project), run.session, closed=closed)


def end_sessions(run: Run[Any]) -> None:
    """End the sessions of the project's clients; they may come back at once."""
    project = run.args.project_id
    run.check()
    run.infra.databases.end_sessions(names.database(project), names.roles(project), run.session)


def add_to_pooler(run: Run[Any]) -> None:
    """Ensure that the pooler serves the project's database, with as many connections as the catalogue says."""
    if not run.infra.pooler.exists:
        return
    database = names.database(run.args.project_id)
    run.ledger.mark_intended(POOLER, database)
    run.check()
    pooling.update_pooler(run.infra)
    run.infra.pooler.resume(database)
    run.ledger.mark_present(POOLER, database)


def remove_from_pooler(run: Run[Any]) -> None:
    """Ensure that the pooler does not serve the project's database: it has no session there, and takes no client."""
    if not run.infra.pooler.exists:
        return
    database = names.database(run.args.project_id)
    run.ledger.mark_releasing(POOLER, database)
    run.check()
    pooling.update_pooler(run.infra)
    run.ledger.mark_gone(POOLER, database)


def update_pooler(run: Run[Any]) -> None:
    """Ensure that the pooler serves a settled project, or not at all while it is paused; sessions begin anew."""
    project = settled(run)
    if project is None or not run.infra.pooler.exists:
        return
    (remove_from_pooler if project.closed else add_to_pooler)(run)
    reconnect_pooler(run)


def reconnect_pooler(run: Run[Any]) -> None:
    """Serve the clients that have waited, by sessions that begin under what is in force now."""
    run.infra.pooler.reconnect(names.database(run.args.project_id))


def open_data_api(run: Run[Any]) -> None:
    """Ensure that the data API serves the project as configured."""
    instance = names.instance(run.args.project_id)
    spec = data_plane.stored_spec(run)
    run.ledger.mark_intended("instance", instance)
    run.check()
    run.infra.instances.ensure(spec, CreatedBy(run.job_id, run.fence))
    run.ledger.mark_present("instance", instance)


def close_data_api(run: Run[Any]) -> None:
    """Ensure that no data API serves the project."""
    instance = names.instance(run.args.project_id)
    run.ledger.mark_releasing("instance", instance)
    run.check()
    run.infra.instances.remove(instance)
    run.ledger.mark_gone("instance", instance)


def update_data_api(run: Run[Any]) -> None:
    """Ensure that the data API serves a settled project, or not at all while it is paused or sleeps."""
    _update(run, open_data_api, close_data_api)


def open_auth(run: Run[Any]) -> None:
    """Ensure that Auth serves the project as configured."""
    _open(run, AUTH, run.infra.auth, data_plane.stored_auth_spec(run))


def close_auth(run: Run[Any]) -> None:
    """Ensure that Auth does not serve the project."""
    _close(run, AUTH, run.infra.auth)


def update_auth(run: Run[Any]) -> None:
    """Ensure that Auth serves a settled project, or not at all while it is paused or sleeps."""
    _update(run, open_auth, close_auth)


def open_storage(run: Run[Any]) -> None:
    """Ensure that Storage serves the project as configured."""
    _open(run, STORAGE, run.infra.storage, data_plane.stored_storage_spec(run))


def close_storage(run: Run[Any]) -> None:
    """Ensure that Storage does not serve the project. Its files stay where they are."""
    _close(run, STORAGE, run.infra.storage)


def update_storage(run: Run[Any]) -> None:
    """Ensure that Storage serves a settled project, or not at all while it is paused or sleeps."""
    _update(run, open_storage, close_storage)


def _open(run: Run[Any], service: str, files: SpecFiles[S], spec: S) -> None:
    """Ensure that the project has its file, by which a service knows it. service: in the ledger."""
    project = run.args.project_id
    run.ledger.mark_intended(service, project)
    run.check()
    files.ensure(spec)
    run.ledger.mark_present(service, project)


def _close(run: Run[Any], service: str, files: SpecFiles[Any]) -> None:
    """Ensure that the project has no file of a service's."""
    project = run.args.project_id
    run.ledger.mark_releasing(service, project)
    run.check()
    files.remove(project)
    run.ledger.mark_gone(service, project)


def _update(run: Run[Any], open_it: Callable[[Run[Any]], None], close_it: Callable[[Run[Any]], None]) -> None:
    """Ensure that a settled project is served, or not at all while it is paused or sleeps."""
    project = settled(run)
    if project is not None:
        (open_it if project.served else close_it)(run)


def check_round_trip(run: Run[Any]) -> None:
    """Log in as the data API does, write and read as each of its roles, and leave nothing."""
    login = names.roles(run.args.project_id).authenticator
    coming, before = data_plane.login_passwords(login, data_plane.stored_secrets(run))
    run.check()
    try:
        _prove(run, coming)
    except LoginRefused:
        if not before:
            raise
        _prove(run, before)


def _prove(run: Run[Any], password: str) -> None:
    """Go the data API's way with a password of its login's."""
    roles = names.roles(run.args.project_id)
    uri = run.infra.pooler.uri(names.database(run.args.project_id), roles.authenticator, password)
    run.infra.databases.check_round_trip(uri, roles, run.session, run.check)
