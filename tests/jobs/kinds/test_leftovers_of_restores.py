"""What a killed attempt at a restore has left is in nobody's way."""

from __future__ import annotations

import pytest
from psycopg import sql

from infra.postgres import stand_ins
from infra.postgres.role_names import ProjectRoles
from tests.fixtures.projects import drop, new_tenant
from tests.jobs.kinds.test_backups import shop

__all__ = ["shop"]
pytestmark = pytest.mark.gpg


def leave_stand_in(shop) -> None:
    """Leave the first role that stood in for an absent one, as whoever is killed while restoring does."""
    roles = ProjectRoles(shop.id)
    with shop.infra.databases.cluster.session("test") as admin:
        admin.execute(
            stand_ins.SQL.make.format(
                role=sql.Identifier(f"{roles.restore}_1"),
                restorer=sql.Identifier(roles.owner),
                label=sql.Literal(f"{stand_ins.LABEL}{roles.prefix}"),
            )
        )


def test_roles_that_stood_in_during_a_killed_attempt_cost_the_next_one_nothing(shop):
    other = new_tenant(shop.infra)
    try:
        shop.sql(f"GRANT SELECT ON notes TO {other.roles.anon}")
        backup = shop.back_up()
    finally:
        drop(shop.infra, other.id)
    for again in (shop.verify, shop.restore):
        leave_stand_in(shop)
        job = again(backup)
        assert (job.status, job.attempt, job.error) == ("succeeded", 1, None)
    assert shop.roles() == set(ProjectRoles(shop.id).all)
