"""What a superuser's extension looks into: schemas that are the administrator's, with nothing of a tenant's in them."""

from __future__ import annotations

import pytest

from infra.errors import Refused
from infra.postgres.extensions import Extensions, create_untrusted

PLANT = """CREATE FUNCTION {schema}.cube_gap(cube, cube) RETURNS float8 LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'CREATE ROLE planted SUPERUSER'; RETURN 0; END $$"""


@pytest.fixture
def ensure(tenant, infra):
    """Install an extension as a job does."""
    cluster = infra.databases.cluster
    return Extensions(cluster, tenant.id, tenant.uri(tenant.roles.owner), "test").ensure


def schemas(tenant):
    with tenant.as_admin() as admin:
        return dict(admin.execute("SELECT extname, extnamespace::regnamespace::text FROM pg_extension").fetchall())


@pytest.mark.parametrize("granted", ["", "; GRANT ALL ON SCHEMA launchdb_extensions TO PUBLIC"])
def test_a_schema_that_a_tenant_made_first_is_not_the_administrators(tenant, ensure, granted):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(f"CREATE SCHEMA launchdb_extensions{granted}")
    with pytest.raises(Refused, match=r"schema launchdb_extensions, in which it would lie, is not the administrator's"):
        ensure("cube")
    assert "cube" not in schemas(tenant)


def test_a_schema_in_which_others_may_create_is_refused(tenant, ensure):
    with tenant.as_admin() as admin:
        admin.execute("CREATE SCHEMA launchdb_extensions")
        admin.execute(f'GRANT CREATE ON SCHEMA launchdb_extensions TO "{tenant.roles.owner}"')
    with pytest.raises(Refused, match=r"others than the administrator may create in schema launchdb_extensions"):
        ensure("cube")
    assert "cube" not in schemas(tenant)


@pytest.mark.parametrize(
    "laid",
    [
        "CREATE FUNCTION launchdb_extensions.cube_gap(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE launchdb_extensions.cube AS (n int)",
        "CREATE TABLE launchdb_extensions.cube ()",
    ],
)
def test_what_lies_in_the_administrators_schema_under_any_name_is_refused_and_named(tenant, ensure, laid):
    with tenant.as_admin() as admin:
        admin.execute("CREATE SCHEMA launchdb_extensions")
        admin.execute(laid)
    with pytest.raises(Refused, match=r"holds what belongs to no extension: .*cube"):
        ensure("cube")
    assert "cube" not in schemas(tenant)


def test_what_an_untrusted_one_requires_lies_where_no_tenant_can_put_anything(tenant, ensure):
    ensure("cube")
    ensure("earthdistance")
    assert {schemas(tenant)[name] for name in ("cube", "earthdistance")} == {"launchdb_extensions"}
    ensure("pgcrypto")
    assert schemas(tenant)["pgcrypto"] == "extensions"


def test_one_whose_requirement_lies_in_a_tenants_schema_is_refused(tenant, ensure):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE EXTENSION cube SCHEMA extensions")
    with pytest.raises(Refused, match=r"others than the administrator may create in schema extensions"):
        ensure("earthdistance")
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("SET search_path = extensions")
        owner.execute(PLANT.format(schema="extensions"))
    with pytest.raises(
        Refused, match=r"schema extensions holds what belongs to no extension: function extensions\.cube_gap"
    ):
        ensure("earthdistance")
    assert "earthdistance" not in schemas(tenant)


def test_where_nobody_of_a_tenant_is_a_tenants_empty_schema_will_do(tenant, infra):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE EXTENSION cube SCHEMA extensions")
    with infra.databases.cluster.open_in_database(tenant.id, "test") as admin:
        create_untrusted(admin, "earthdistance", alone=True)
    assert schemas(tenant)["earthdistance"] == "launchdb_extensions"
