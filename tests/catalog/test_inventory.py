"""The inventory: what is owned, what is orphaned, what is missing; strangers are not even listed."""

from __future__ import annotations

import psycopg
import pytest

from catalog import inventory, secrets
from tests.fixtures.projects import add_project, drop, new_tenant


@pytest.fixture
def look(infra):
    """Return the verdicts on one project, by kind."""

    def verdicts(project):
        with infra.database.autocommit() as tx:
            things = inventory.of_project(inventory.take_inventory(tx, infra), project)
        return {(thing.kind, thing.verdict) for thing in things}

    return verdicts


def present(infra, project, kind, name, state="present"):
    with infra.database.autocommit() as tx:
        tx.execute(
            "INSERT INTO resources (kind, name, project_id, job_id, step, fence, state)"
            " VALUES (%s, %s, %s, 'job', 'step', 1, %s)",
            (kind, name, project, state),
        )


def test_things_of_a_project_that_is_deleted_or_unknown_are_orphans(infra, tenant, look):
    assert look(tenant.id) == {("database", "orphan"), ("role", "orphan")}


@pytest.mark.parametrize("status", ["active", "paused", "failed", "provisioning"])
def test_things_of_a_project_that_is_not_deleted_are_owned(infra, tenant, look, status):
    with infra.database.transaction() as tx:
        other = add_project(infra, status=status)
        tx.execute("UPDATE projects SET id = %s WHERE id = %s", (tenant.id, other))
    assert {("database", "owned"), ("role", "owned")} <= look(tenant.id)


def test_what_the_ledger_calls_present_and_is_not_there_is_missing(infra, master_key, look):
    project = add_project(infra, status="active")
    present(infra, project, "database", project)
    present(infra, project, "instance", project, state="gone")
    assert look(project) == {("database", "missing"), ("secrets", "missing")}


def test_a_project_that_a_job_is_about_to_see_to_has_neither_orphans_nor_gaps(infra, tenant, look):
    present(infra, tenant.id, "instance", tenant.id)
    with infra.database.autocommit() as tx:
        tx.execute(
            "INSERT INTO jobs (id, kind, queue, project_id) VALUES ('job_' || md5('x'), 'project.delete', 'control', %s)",
            (tenant.id,),
        )
    assert look(tenant.id) == {("database", "owned"), ("role", "owned")}


def test_secrets_of_a_deleted_project_are_orphans_and_the_platforms_own_are_not_listed(infra, master_key, look):
    project = add_project(infra, status="deleted")
    with infra.database.transaction() as tx:
        secrets.put(tx, infra.vault, project, "x", "y")
        secrets.put(tx, infra.vault, secrets.PLATFORM, "x", "y")
        things = inventory.take_inventory(tx, infra)
    assert look(project) == {("secrets", "orphan")}
    assert secrets.PLATFORM not in {thing.name for thing in things}


def test_what_bears_no_label_of_ours_is_not_listed(infra, server_url):
    tenant = new_tenant(infra)
    drop(infra, tenant.id)
    with psycopg.connect(server_url, autocommit=True) as stranger:
        stranger.execute(f'CREATE DATABASE "{tenant.id}"')
        stranger.execute(f'CREATE ROLE "{tenant.roles.owner}"')
        try:
            with infra.database.autocommit() as tx:
                assert inventory.of_project(inventory.take_inventory(tx, infra), tenant.id) == []
        finally:
            stranger.execute(f'DROP DATABASE "{tenant.id}"')
            stranger.execute(f'DROP ROLE "{tenant.roles.owner}"')
