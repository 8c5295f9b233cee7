"""The pooler's own login on Postgres: it may ask what a project's login is known by, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.rows import dict_row

from infra.postgres import scram
from infra.postgres.role_names import POOLER
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.cluster import Cluster

SQL = statements(__file__)
NAME = POOLER


def ensure_pooler_login(cluster: Cluster, platform: str, password: str, session: str) -> None:
    """Ensure that the login exists with this password, and with no more rights than it needs. Raises Unavailable."""
    cluster.retry_races(lambda: _ensure(cluster, platform, password, session))


def _ensure(cluster: Cluster, platform: str, password: str, session: str) -> None:
    database = sql.Identifier(platform)
    with cluster.session(session) as admin, admin.transaction(), admin.cursor(row_factory=dict_row) as cursor:
        seen = cursor.execute(SQL.look, {"platform": platform}).fetchone()
        if not (seen and seen["plain"] and seen["may_connect"] and scram.matches(seen["password"], password)):
            cursor.execute(SQL.lock)
            verifier = sql.Literal(scram.verifier(password, rounds=scram.FEW_ROUNDS))
            there = cursor.execute(SQL.look, {"platform": platform}).fetchone()
            cursor.execute(SQL.make.format(verb=sql.SQL("ALTER" if there else "CREATE"), password=verifier))
            cursor.execute(SQL.admit.format(platform=database))
            cursor.execute(SQL.reserve)
    with cluster.open_in_database(platform, session) as inside:
        row = inside.execute(SQL.may_ask).fetchone()
        if not (row and row[0]):
            inside.execute(SQL.let_ask)


def administrator_verifier(cluster: Cluster, session: str) -> dict[str, str]:
    """Return by what Postgres knows the superuser's password: with anything else no login could be passed on."""
    with cluster.session(session) as admin:
        return {str(name): str(known) for name, known in admin.execute(SQL.administrator).fetchall()}
