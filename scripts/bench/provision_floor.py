"""The floor of provisioning: the bare SQL of a project on a warm connection, beside the verbs that look and verify.

Run with the URL of a server to try it on: python -m scripts.bench.provision_floor postgresql://…
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from catalog import names
from catalog.ids import new_project_id
from config.settings import load
from infra.composition import Infra
from infra.postgres import scram
from infra.postgres.project_roles import LABEL, role_identifiers
from infra.postgres.role_names import ProjectRoles
from infra.postgres.sql import statements
from scripts.bench.figures import Figure, percentile, print_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.postgres.cluster import Session

SQL = statements(__file__)
ROUNDS = 25
AT_ONCE = 4


def provision_by_sql(admin: Session, infra: Infra, project: str) -> None:
    """Make a project with nothing but its statements: roles, copy, grants, first connection."""
    roles = ProjectRoles(project)
    passwords = {login: secrets.token_urlsafe(32) for login in roles.logins}
    rounds = {login: scram.CLIENT_ROUNDS if login == roles.owner else scram.FEW_ROUNDS for login in roles.logins}
    words = {
        f"{login.rpartition('_')[2]}_password": sql.Literal(scram.verifier(word, rounds=rounds[login]))
        for login, word in passwords.items()
    }
    named = {
        **role_identifiers(roles),
        **words,
        "database": sql.Identifier(project),
        "label": sql.Literal(f"{LABEL}{project}"),
    }
    admin.execute(SQL.roles.format(**named))
    template = sql.Identifier(infra.databases.templates.name)
    admin.execute(SQL.copy.format(database=sql.Identifier(project), template=template))
    with infra.databases.cluster.open_in_database(project, "bench") as inside:
        inside.execute(SQL.grants.format(**named))
    uri = infra.databases.uri(project, roles.authenticator, passwords[roles.authenticator])
    with psycopg.connect(uri, autocommit=True) as first:
        first.execute("SELECT 1")


def provision_by_verbs(infra: Infra, project: str) -> None:
    """Make a project as its job's steps do, without the job."""
    roles = names.roles(project)
    passwords = {login: secrets.token_urlsafe(32) for login in roles.logins}
    infra.databases.ensure_roles(roles, passwords, "bench")
    infra.databases.ensure_database(project, roles, "bench")
    infra.databases.check_round_trip(
        infra.databases.uri(project, roles.authenticator, passwords[roles.authenticator]), roles, "bench"
    )


def floor_ms(infra: Infra, rounds: int = ROUNDS) -> list[float]:
    """Measure the bare SQL, one project at a time; nothing is left."""
    with infra.databases.cluster.session("bench") as admin:
        return [_timed(infra, lambda project: provision_by_sql(admin, infra, project)) for _ in range(rounds)]


def verbs_ms(infra: Infra, rounds: int = ROUNDS) -> list[float]:
    """Measure the verbs, one project at a time; nothing is left."""
    return [_timed(infra, lambda project: provision_by_verbs(infra, project)) for _ in range(rounds)]


def floor_rate(infra: Infra, count: int = 40) -> float:
    """Measure the bare SQL four at once; return projects a second."""
    projects = [new_project_id() for _ in range(count)]

    def one(project: str) -> None:
        with infra.databases.cluster.session("bench") as admin:
            provision_by_sql(admin, infra, project)

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            start = time.perf_counter()
            list(pool.map(one, projects))
            return count / (time.perf_counter() - start)
    finally:
        for project in projects:
            _drop(infra, project)


def prepare(infra: Infra) -> None:
    """Ensure that roles, template and a warm connection exist before anything is measured."""
    project = new_project_id()
    provision_by_verbs(infra, project)
    _drop(infra, project)


def _timed(infra: Infra, make: Callable[[str], None]) -> float:
    project = new_project_id()
    try:
        start = time.perf_counter()
        make(project)
        return (time.perf_counter() - start) * 1000
    finally:
        _drop(infra, project)


def _drop(infra: Infra, project: str) -> None:
    infra.databases.drop_database(project, names.roles(project), "bench")
    infra.databases.drop_roles(names.roles(project), "bench")


def main(url: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as home:
        infra = Infra.open(
            load({"LAUNCHDB_HOME": home, "LAUNCHDB_DATABASE_URL": url, "LAUNCHDB_REDIS_URL": "unix:///"})
        )
        prepare(infra)
        bare_ms, verb_ms = [], []
        for _ in range(ROUNDS):  # in turn, so that both meet the same moods of the machine
            bare_ms += floor_ms(infra, 1)
            verb_ms += verbs_ms(infra, 1)
        figures = [
            Figure("bare SQL, p50", percentile(bare_ms, 0.5), "ms"),
            Figure("bare SQL, p95", percentile(bare_ms, 0.95), "ms"),
            Figure("verbs, p50", percentile(verb_ms, 0.5), "ms", floor=percentile(bare_ms, 0.5)),
            Figure("verbs, p95", percentile(verb_ms, 0.95), "ms", floor=percentile(bare_ms, 0.95)),
            Figure(f"bare SQL, {AT_ONCE} at once", floor_rate(infra), "/s"),
        ]
        print_figures("Provisioning by SQL", figures)
        infra.close()


if __name__ == "__main__":
    main(sys.argv[1])
