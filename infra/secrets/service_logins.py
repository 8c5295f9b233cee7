"""The services' own logins on Postgres: each takes its password, and has no more than its grants on our tables.

A migration makes the roles and says what each may read and write; here is what belongs to the server, not a database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

from infra.postgres import scram
from infra.postgres.cluster import MAINTENANCE
from infra.postgres.sql import statements
from infra.secrets import secretfiles
from infra.secrets.services import LOGINS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infra.postgres.cluster import Cluster, Session

SQL = statements(__file__)
# Whoever keeps the platform going gets in where projects have taken every other connection.
RESERVED = frozenset({"pg_use_reserved_connections"})
# The API ends what lifts its limits in an owner's SQL, and shows sizes and what the server has loaded.
MEMBERSHIPS: Mapping[str, frozenset[str]] = {
    **{f"launchdb_{name}": RESERVED for name in ("worker", "scheduler", "manager")},
    "launchdb_api": RESERVED | {"pg_signal_backend", "pg_read_all_stats", "pg_read_all_settings"},
}
# In whose catalogue it looks all databases up.
MORE_DATABASES: Mapping[str, tuple[str, ...]] = {"launchdb_api": (MAINTENANCE,)}


def ensure_service_logins(cluster: Cluster, platform: str, folder: Path, session: str) -> list[str]:
    """Ensure that each service's login takes the password in its file; return whose had to be changed.

    cluster  the administrator's
    folder   where the secrets lie; the logins' passwords that are missing are made

    Raises Unavailable.
    """
    secretfiles.ensure_own(folder)
    passwords = {name: secretfiles.current(folder, file) for name, file in LOGINS.items()}
    return cluster.retry_races(lambda: _ensure(cluster, platform, passwords, session))


def _ensure(cluster: Cluster, platform: str, passwords: Mapping[str, str], session: str) -> list[str]:
    values = {"platform": platform, "names": sorted(passwords)}
    with cluster.session(session) as admin, admin.transaction(), admin.cursor(row_factory=dict_row) as cursor:
        wrong = [row["name"] for row in cursor.execute(SQL.look, values) if not _is_right(row, passwords)]
        if wrong:
            cursor.execute(SQL.lock)
            for row in cursor.execute(SQL.look, values).fetchall():
                if row["name"] in wrong:
                    _put_right(admin, platform, row, passwords[row["name"]])
    return wrong


def _is_right(row: Mapping[str, Any], passwords: Mapping[str, str]) -> bool:
    name = row["name"]
    return bool(
        row["login"]
        and not row["mighty"]
        and row["may_connect"]
        and set(row["memberships"]) == MEMBERSHIPS.get(name, frozenset())
        and scram.matches(row["password"], passwords[name])
    )


def _put_right(admin: Session, platform: str, row: Mapping[str, Any], password: str) -> None:
    name, role = row["name"], sql.Identifier(row["name"])
    verifier = sql.Literal(scram.verifier(password, rounds=scram.FEW_ROUNDS))
    admin.execute(SQL.make.format(role=role, password=verifier))
    for database in (platform, *MORE_DATABASES.get(name, ())):
        admin.execute(SQL.admit.format(database=sql.Identifier(database), role=role))
    wanted, has = MEMBERSHIPS.get(name, frozenset()), set(row["memberships"])
    for granted in sorted(wanted - has):
        admin.execute(SQL.grant.format(granted=sql.Identifier(granted), role=role))
    for granted in sorted(has - wanted):
        admin.execute(SQL.take_back.format(granted=sql.Identifier(granted), role=role))
