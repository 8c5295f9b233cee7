"""What a project's data plane has to be, from the catalogue: what its services serve, limits, passwords."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from catalog import endings, names, projects, secrets, settings
from catalog import project_states as states
from catalog.settings_model import AUTH, STORAGE
from infra.instances.auth_files import AuthSpec
from infra.instances.instances import InstanceSpec
from infra.instances.storage_files import StorageSpec
from infra.postgres.limits import ProjectLimits
from infra.postgres.role_names import SHARED_ANON, SHARED_AUTHENTICATED, SHARED_SERVICE
from infra.postgres.sql import statements
from infra.secrets import tokens
from jobs.engine.errors import GiveUp
from jobs.projects import access_keys, api_keys, pooling

if TYPE_CHECKING:
    from catalog.secrets import ScopeSecrets
    from catalog.settings_model import ProjectSettings
    from infra.composition import Infra
    from infra.postgres.databases import ServerSurvey
    from jobs.engine.run import Run

SQL = statements(__file__)


def set_passwords(run: Run[Any], passwords: dict[str, str]) -> None:
    """Ensure that the project has exactly its roles, whose logins take these passwords."""
    roles = names.roles(run.args.project_id)
    run.ledger.mark_intended("role", *roles.all)
    run.check()
    run.infra.databases.ensure_roles(roles, passwords, run.session)
    run.ledger.mark_present("role", *roles.all)


def exchange_passwords(run: Run[Any], passwords: dict[str, str]) -> None:
    """Change the passwords of the logins while their clients go on."""
    database, dump = names.database(run.args.project_id), names.roles(run.args.project_id).dump
    pooled = {login: password for login, password in passwords.items() if login != dump}
    run.infra.pooler.change_passwords(database, pooled, lambda: set_passwords(run, passwords))


def stored_spec(run: Run[Any]) -> InstanceSpec:
    """Return what the project's data API serves. Raises GiveUp when the project is no longer wanted."""
    project = run.args.project_id
    with run.infra.database.autocommit() as tx:
        row = tx.row(SQL.project, {"project": project, **states.SETS})
    if row is None:
        raise GiveUp("the project was deleted meanwhile")
    chosen = settings.effective(row["settings"], run.infra.settings)
    over = row["quota_state"] == "over"
    return spec(run.infra, project, stored_secrets(run), chosen, pool_size=row["pool_size"], read_only=over)


def stored_auth_spec(run: Run[Any]) -> AuthSpec:
    """Return what Auth serves of the project. Raises GiveUp when the project is no longer wanted."""
    return auth_spec(run.infra, run.args.project_id, stored_secrets(run), _chosen(run))


def stored_storage_spec(run: Run[Any]) -> StorageSpec:
    """Return what Storage serves of the project. Raises GiveUp when the project is no longer wanted."""
    return storage_spec(run.infra, run.args.project_id, stored_secrets(run), _chosen(run))


def _chosen(run: Run[Any]) -> ProjectSettings:
    with run.infra.database.autocommit() as tx:
        row = tx.row(SQL.project, {"project": run.args.project_id, **states.SETS})
    if row is None:
        raise GiveUp("the project was deleted meanwhile")
    return settings.effective(row["settings"], run.infra.settings)


def stored_limits(run: Run[Any]) -> ProjectLimits:
    """Return what limits the project's database has, by its settings."""
    with run.infra.database.autocommit() as tx:
        kept = settings.read(tx, run.args.project_id)
        over = projects.is_over_quota(tx, run.args.project_id)
        kept_out = endings.kept_out(tx, run.args.project_id)
    return limits(settings.effective(kept.settings, run.infra.settings), read_only=over, kept_out=kept_out)


def limits(
    chosen: ProjectSettings, *, read_only: bool = False, kept_out: frozenset[str] = frozenset()
) -> ProjectLimits:
    """Return the limits of a project's database.

    read_only  it is larger than it may be
    kept_out   logins of it that may begin no session for now
    """
    return ProjectLimits.make(
        connections=chosen.connections,
        temp_mb=chosen.temp_mb,
        statement_seconds=chosen.statement_seconds,
        idle_transaction_seconds=chosen.idle_transaction_seconds,
        read_only=read_only,
        kept_out=kept_out,
    )


def spec(
    infra: Infra,
    project: str,
    known: ScopeSecrets,
    chosen: ProjectSettings,
    *,
    pool_size: int,
    read_only: bool = False,
) -> InstanceSpec:
    """Return what a project's data API serves, from its stored secrets and its settings."""
    database, login = names.database(project), names.roles(project).authenticator
    wanted, before = login_passwords(login, known)
    return InstanceSpec(
        id=names.instance(project),
        project_id=project,
        db_uri=infra.pooler.data_uri(database, login, wanted),
        db_uri_before=infra.pooler.data_uri(database, login, before) if before else "",
        jwt_secret=jwt_secret(known),
        anon_role=names.roles(project).anon,
        # A pool that takes all connections of its login would leave none to who listens.
        pool_size=pooling.pooler_entry(infra, project, pool_size, chosen).pool_size,
        max_rows=chosen.max_rows,
        schemas=tuple(chosen.schemas),
        cors_origins=tuple(chosen.cors_origins),
        rate_per_minute=chosen.rate_per_minute,
        body_bytes=chosen.body_bytes,
        extra_search_path=tuple(chosen.extra_search_path),
        aggregates=chosen.aggregates,
        query_plans=chosen.query_plans,
        transaction_end=chosen.transaction_end,
        api_keys=api_keys.accepted(known),
        session=" ".join(f"{name}={value}" for name, value in limits(chosen, read_only=read_only).settings.items()),
    )


def auth_spec(infra: Infra, project: str, known: ScopeSecrets, chosen: ProjectSettings) -> AuthSpec:
    """Return what Auth serves of a project, from its stored secrets and its settings."""
    roles, database = names.roles(project), names.database(project)
    wanted, before = login_passwords(roles.auth, known)
    if not chosen.smtp_host:  # letters go by the installation's server, which sends no more for one project
        most = min(chosen.mails_per_hour, infra.settings.mails_per_hour)
        chosen = chosen.model_copy(update={"mails_per_hour": most})
    return AuthSpec(
        project_id=project,
        url=f"{infra.settings.base_url}/project/{project}",
        db_uri=infra.pooler.uri(database, roles.auth, wanted),
        db_uri_before=infra.pooler.uri(database, roles.auth, before) if before else "",
        jwt_secret=jwt_secret(known),
        signing_key=signing_key(known),
        api_keys=api_keys.accepted(known),
        roles={SHARED_ANON: roles.anon, SHARED_AUTHENTICATED: roles.authenticated, SHARED_SERVICE: roles.service},
        mail_key=known.get(names.MAIL_KEY, ""),
        has_mail=bool(chosen.smtp_host) or infra.settings.mail == "smtp",
        takes_mail=bool(chosen.smtp_host) or infra.settings.mail != "off",
        settings=settings.as_json(chosen, only=AUTH),
        secrets=settings.auth_secrets(known),
    )


def storage_spec(infra: Infra, project: str, known: ScopeSecrets, chosen: ProjectSettings) -> StorageSpec:
    """Return what Storage serves of a project, from its stored secrets and its settings."""
    roles, database = names.roles(project), names.database(project)
    wanted, before = login_passwords(roles.storage, known)
    return StorageSpec(
        project_id=project,
        url=f"{infra.settings.base_url}/project/{project}",
        db_uri=infra.pooler.uri(database, roles.storage, wanted),
        db_uri_before=infra.pooler.uri(database, roles.storage, before) if before else "",
        jwt_secret=jwt_secret(known),
        url_keys=url_keys(known),
        roles={SHARED_ANON: roles.anon, SHARED_AUTHENTICATED: roles.authenticated, SHARED_SERVICE: roles.service},
        api_keys=list(api_keys.accepted(known)),
        access_keys=access_keys.accepted(known),
        session_keys=access_keys.session_keys(known),
        settings=settings.as_json(chosen, only=STORAGE | {"rate_per_minute", "cors_origins"}),
    )


def url_keys(known: ScopeSecrets) -> list[str]:
    """Return what signed URLs are signed with: a key of each JWT secret that is still good, that in force first.

    What a client holds in a URL is signed by nothing that signs tokens, and ends with the secret it was made of.
    """
    in_force = known[names.JWT_SECRET]
    others = [kept.value for kept in known.versions[names.JWT_SECRET] if kept.value != in_force]
    return [
        hmac.digest(secret.encode(), b"launchdb: URLs of Storage", "sha256").hex() for secret in (in_force, *others)
    ]


def jwt_secret(known: ScopeSecrets) -> str:
    """Return what tokens are verified by: each key that is coming, in force or in its grace time.

    Of keys with a private part it is the public one alone.
    """
    listed = [*known.versions[names.JWT_SECRET], *known.versions.get(names.SIGNING_KEY, ())]
    return tokens.key_set([(key.value, key.expires_at.timestamp() if key.expires_at else None) for key in listed])


def signing_key(known: ScopeSecrets) -> str:
    """Return what users' tokens are signed with, as `tokens.sign_token` takes it."""
    return known.get(names.SIGNING_KEY) or known[names.JWT_SECRET]


def passwords(project: str, known: ScopeSecrets) -> dict[str, str]:
    """Return the password that each of the project's logins is to have."""
    return {login: known.wanted(names.password(login)) for login in names.roles(project).logins}


def standing_passwords(seen: ServerSurvey, project: str, known: ScopeSecrets) -> dict[str, str]:
    """Return the password that each login keeps: the one in force, or the one that is coming where a rotation set it.

    Nobody but a rotation sets one that is coming: the data API may not know it yet, and it is not shown.
    """
    kept = passwords(project, known)
    for login, wanted in kept.items():
        in_force = known[names.password(login)]
        if wanted != in_force and not seen.accepts_password(login, wanted):
            kept[login] = in_force
    return kept


def login_passwords(login: str, known: ScopeSecrets) -> tuple[str, str]:
    """Return a login's password, and the one that is good until it is in force; empty when none is coming."""
    secret = names.password(login)
    before, wanted = known[secret], known.wanted(secret)
    return wanted, "" if before == wanted else before


def stored_secrets(run: Run[Any]) -> ScopeSecrets:
    """Read the project's secrets. Raises Refused when one does not open."""
    with run.infra.database.autocommit() as tx:
        return secrets.read_all(tx, run.infra.vault, run.args.project_id)
