"""Databases whose schema is changed, one that keeps a stamp of it and one that keeps none, and data APIs of them."""

from __future__ import annotations

import secrets
from itertools import count

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.data.config import from_values
from app.data.run.connections import Budget, Pool
from app.data.run.instance import Instance
from tests.fixtures.projects import drop, new_tenant


class World:
    """A database, who changes it, and data APIs of it that share their sessions."""

    def __init__(self, owner, dsn, uri, role) -> None:
        self.dsn = dsn
        self.owner, self.role, self.numbers = owner, role, count(1)
        owner.execute(f'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "{role}"')
        owner.execute(f'ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO "{role}"')
        owner.execute(f'GRANT USAGE ON SCHEMA public TO "{role}"; CREATE SCHEMA hidden')
        self.config = from_values({"db-uri": uri, "db-anon-role": role, "db-pool": "3"})
        self.budget = Budget(20)
        self.pool = Pool(self.config, self.budget, "launchdb-changes")

    def instance(self) -> Instance:
        return Instance(self.config, self.budget, pool=self.pool)

    def names(self) -> dict[str, str]:
        return {"t": f"t{next(self.numbers)}", "role": f'"{self.role}"'}


@pytest.fixture(scope="module")
def tenant(cluster):
    """A project's database, made of the template."""
    made = new_tenant(cluster)
    yield made
    drop(cluster, made.id)


@pytest.fixture(scope="module")
def stamped(tenant):
    """The project's database, which keeps a stamp of its schema."""
    with tenant.connect(tenant.roles.owner) as owner:
        world = World(
            owner, tenant.uri(tenant.roles.owner), tenant.uri(tenant.roles.authenticator), tenant.roles.service
        )
        yield world
        world.pool.close()


@pytest.fixture(scope="module")
def plain(tenant, server_url):
    """A database of anybody's, which keeps none."""
    name = f"ldbtest_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        with psycopg.connect(server_url, dbname=name, autocommit=True) as owner:
            dsn = make_conninfo(server_url, dbname=name)
            world = World(owner, dsn, tenant.uri(tenant.roles.authenticator, name), tenant.roles.service)
            yield world
            world.pool.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
