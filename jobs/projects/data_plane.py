"""What several kinds do to one project: open and close its data API, let logins in, put them out, drop it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import names, secrets, settings
from catalog import project_states as states
from infra.errors import LoginRefused
from infra.instances.instances import By, InstanceSpec
from infra.postgres.limits import Limits
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.sql import statements
from infra.secrets import tokens
from jobs.engine.errors import GiveUp
from jobs.projects import pooling

if TYPE_CHECKING:
    from catalog.secrets import Known
    from catalog.settings_model import ProjectSettings
    from infra.composition import Infra
    from infra.postgres.databases import Survey
    from jobs.engine.run import Run

SQL = statements(__file__)


def open_data_api(run: Run[Any]) -> None:
    """Let the data API serve the project."""
    instance = names.instance(run.args.project_id)
    spec = stored_spec(run)
    run.ledger.intend("instance", instance)
    run.check()
    run.infra.instances.ensure(spec, By(run.job_id, run.fence))
    run.ledger.present("instance", instance)


def close_data_api(run: Run[Any]) -> None:
    """Let the data API no longer serve the project."""
    instance = names.instance(run.args.project_id)
    run.ledger.releasing("instance", instance)
    run.check()
    run.infra.instances.remove(instance)
    run.ledger.gone("instance", instance)


def set_passwords(run: Run[Any], passwords: dict[str, str]) -> None:
    """Let the project have exactly its roles, whose logins take these passwords."""
    roles = names.roles(run.args.project_id)
    run.ledger.intend("role", *roles.all)
    run.check()
    run.infra.databases.ensure_roles(roles, passwords, run.session)
    run.ledger.present("role", *roles.all)


def exchange_passwords(run: Run[Any], passwords: dict[str, str]) -> None:
    """Let the logins take these passwords while their clients go on."""
    database, dump = names.database(run.args.project_id), names.roles(run.args.project_id).dump
    pooled = {login: password for login, password in passwords.items() if login != dump}
    run.infra.pooler.exchange(database, pooled, lambda: set_passwords(run, passwords))


def drop_database(run: Run[Any]) -> None:
    """Let the project have no database, and none beside it; the sessions that are left are ended."""
    database = names.database(run.args.project_id)
    staging = ProjectStaging(run.infra.databases, names.roles(run.args.project_id), run.session)
    for use in names.STAGING_USES:
        staging.drop(names.staging(run.args.project_id, use))
    staging.drop_restorer()
    run.ledger.releasing("database", database)
    run.check()
    run.infra.databases.drop_database(database, names.roles(run.args.project_id), run.session)
    run.ledger.gone("database", database)
    run.ledger.forget("database", *(names.staging(run.args.project_id, use) for use in names.STAGING_USES))


def drop_roles(run: Run[Any]) -> None:
    """Let the project have no roles; last of all, since a role that owns something cannot be dropped."""
    roles = names.roles(run.args.project_id)
    run.ledger.releasing("role", *roles.all)
    run.check()
    run.infra.databases.drop_roles(roles, run.session)
    run.ledger.gone("role", *roles.all)


def allow_logins(run: Run[Any]) -> None:
    """Let the project's logins in, with its limits."""
    _mend(run, closed=False)


def refuse_logins(run: Run[Any]) -> None:
    """Let none of the project's logins in and end the sessions there are; backups stay possible, all data stays."""
    _mend(run, closed=True)


def end_sessions(run: Run[Any]) -> None:
    """Put the project's clients out; they may come back at once."""
    project = run.args.project_id
    run.check()
    run.infra.databases.end_sessions(names.database(project), names.roles(project), run.session)


def check_round_trip(run: Run[Any]) -> None:
    """Log in as the data API does, write and read as each of its roles, and leave nothing."""
    project = run.args.project_id
    known, roles = stored_secrets(run), names.roles(project)
    wanted, before = _data_passwords(project, known)
    run.check()
    try:
        run.infra.databases.prove(_own_uri(run, wanted), roles, run.session, run.check)
    except LoginRefused:
        if not before:
            raise
        run.infra.databases.prove(_own_uri(run, before), roles, run.session, run.check)


def _own_uri(run: Run[Any], password: str) -> str:
    """Return the URI with which we go the data API's way."""
    project = run.args.project_id
    return run.infra.pooler.uri(names.database(project), names.roles(project).authenticator, password)


def stored_spec(run: Run[Any]) -> InstanceSpec:
    """Say what the project's data API serves. Raises GiveUp when the project is no longer wanted."""
    project = run.args.project_id
    with run.infra.database.autocommit() as tx:
        row = tx.row(SQL.project, {"project": project, **states.SETS})
    if row is None:
        raise GiveUp("the project was deleted meanwhile")
    chosen = settings.effective(row["settings"], run.infra.settings)
    return spec(run.infra, project, stored_secrets(run), chosen, pool_size=row["pool_size"])


def stored_limits(run: Run[Any]) -> Limits:
    """Say what limits the project's database has, by its settings."""
    with run.infra.database.autocommit() as tx:
        kept = settings.read(tx, run.args.project_id)
    return limits(settings.effective(kept.settings, run.infra.settings))


def limits(chosen: ProjectSettings) -> Limits:
    """Return the limits of a project's database."""
    return Limits.make(
        connections=chosen.connections,
        temp_mb=chosen.temp_mb,
        statement_seconds=chosen.statement_seconds,
        idle_transaction_seconds=chosen.idle_transaction_seconds,
    )


def spec(infra: Infra, project: str, known: Known, chosen: ProjectSettings, *, pool_size: int) -> InstanceSpec:
    """Say what a project's data API serves, from its stored secrets and its settings."""
    wanted, before = _data_passwords(project, known)
    database, login = names.database(project), names.roles(project).authenticator
    return InstanceSpec(
        id=names.instance(project),
        project_id=project,
        db_uri=infra.pooler.data_uri(database, login, wanted),
        db_uri_before=infra.pooler.data_uri(database, login, before) if before else "",
        jwt_secret=jwt_secret(known),
        anon_role=names.roles(project).anon,
        # A pool that takes all connections of its login would leave none to who listens.
        pool_size=pooling.entry(infra, project, pool_size, chosen).pool_size,
        max_rows=chosen.max_rows,
        schemas=tuple(chosen.schemas),
        cors_origins=tuple(chosen.cors_origins),
        rate_per_minute=chosen.rate_per_minute,
        body_bytes=chosen.body_bytes,
        session=" ".join(f"{name}={value}" for name, value in limits(chosen).settings.items()),
    )


def jwt_secret(known: Known) -> str:
    """Return what tokens are verified by: each key that is coming, in force or in its grace time."""
    listed = known.versions[names.JWT_SECRET]
    return tokens.key_set([(key.value, key.expires_at.timestamp() if key.expires_at else None) for key in listed])


def passwords(project: str, known: Known) -> dict[str, str]:
    """Return the password that each of the project's logins is to have."""
    return {login: known.wanted(names.password(login)) for login in names.roles(project).logins}


def standing_passwords(seen: Survey, project: str, known: Known) -> dict[str, str]:
    """Return the password that each login keeps: the one in force, or the one that is coming where a rotation set it.

    Nobody but a rotation sets one that is coming: the data API may not know it yet, and it is not shown.
    """
    kept = passwords(project, known)
    for login, wanted in kept.items():
        in_force = known[names.password(login)]
        if wanted != in_force and not seen.takes(login, wanted):
            kept[login] = in_force
    return kept


def _data_passwords(project: str, known: Known) -> tuple[str, str]:
    """Return the data API's password, and the one that is good until it is in force; empty when none is coming."""
    secret = names.password(names.roles(project).authenticator)
    before, wanted = known[secret], known.wanted(secret)
    return wanted, "" if before == wanted else before


def stored_secrets(run: Run[Any]) -> Known:
    """Read the project's secrets. Raises Refused when one does not open."""
    with run.infra.database.autocommit() as tx:
        return secrets.read_all(tx, run.infra.vault, run.args.project_id)


def _mend(run: Run[Any], *, closed: bool) -> None:
    project = run.args.project_id
    databases = run.infra.databases.limited(stored_limits(run))
    run.check()
    databases.mend_database(names.database(project), names.roles(project), run.session, closed=closed)
