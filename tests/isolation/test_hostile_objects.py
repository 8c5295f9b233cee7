"""What a tenant plants in its own database: traps for the sessions of the platform that come by."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

# Each trap writes down as whom it ran; nobody mightier than the tenant's own roles may ever stand there.
TRAPS = """
CREATE TABLE public.caught (who name, via text);
GRANT ALL ON public.caught TO PUBLIC;
CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.caught VALUES (current_user, 'trigger'); RETURN NEW; END $$;
CREATE FUNCTION public.trap_value() RETURNS text LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.caught VALUES (current_user, 'default'); RETURN 'x'; END $$;
CREATE FUNCTION public.trap_policy() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.caught VALUES (current_user, 'policy'); RETURN true; END $$;
CREATE FUNCTION public.trap_text(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.caught VALUES (current_user, 'operator'); RETURN true; END $$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap_text);
CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.caught VALUES (current_user, 'function'); RETURN 0; END $$;
CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.caught VALUES (current_user, 'function'); RETURN ''; END $$;
CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON storage.buckets FOR EACH ROW EXECUTE FUNCTION public.trap();
CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON auth.users FOR EACH ROW EXECUTE FUNCTION public.trap();
ALTER TABLE storage.buckets ALTER COLUMN owner_id SET DEFAULT public.trap_value();
CREATE POLICY trap ON storage.buckets USING (public.trap_policy());
CREATE TABLE public.pg_database AS SELECT 'evil'::text AS datname;
CREATE TABLE public.pg_roles AS SELECT 'evil'::text AS rolname;
"""


@pytest.fixture
def trapped(alice):
    """A tenant that has planted its traps."""
    with alice.connect(alice.roles.owner) as owner:
        if not owner.execute("SELECT to_regclass('public.caught')").fetchone()[0]:
            owner.execute(TRAPS)
        owner.execute("TRUNCATE public.caught")
        owner.execute(f'ALTER ROLE "{alice.roles.owner}" SET search_path = public, pg_catalog')
    return alice


def test_the_administrator_runs_nothing_that_a_tenant_planted(trapped, cluster):
    cluster.databases.ensure_roles(trapped.roles, trapped.passwords, "test")
    with trapped.as_admin() as admin:
        admin.execute(f'ALTER DATABASE "{trapped.id}" CONNECTION LIMIT 7')  # something to repair
    cluster.databases.ensure_database(trapped.id, trapped.roles, "test")
    assert any(thing.name == trapped.id for thing in cluster.databases.list_labelled())
    with trapped.as_admin() as admin:
        admin.execute("SET search_path = pg_catalog")
        assert admin.execute("SELECT who FROM public.caught").fetchall() == []
        assert admin.execute("SELECT datconnlimit FROM pg_database WHERE datname = current_database()").fetchone() == (
            88,
        )


def test_the_proof_of_a_round_trip_runs_traps_as_the_tenant_only(trapped, cluster):
    uri = trapped.uri(trapped.roles.authenticator)
    with trapped.connect(trapped.roles.owner) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS public.mightiest (who text)")
        owner.execute(
            "CREATE OR REPLACE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE EXCEPTION 'ran as % of %', current_user, session_user; END $$"
        )
    with pytest.raises(psycopg.errors.RaiseException) as caught:
        cluster.databases.check_round_trip(uri, trapped.roles, "test")
    assert f"ran as {trapped.roles.service} of {trapped.roles.authenticator}" in str(caught.value)


def test_a_role_given_back_inside_a_function_is_only_the_login(alice):
    with alice.connect(alice.roles.owner) as owner:
        owner.execute(
            "CREATE FUNCTION public.give_back() RETURNS name LANGUAGE plpgsql AS"
            " $$ BEGIN RESET ROLE; RETURN current_user; END $$"
        )
    with alice.connect(alice.roles.authenticator) as api, api.transaction():
        api.execute(f'SET LOCAL ROLE "{alice.roles.anon}"')
        assert api.execute("SELECT public.give_back()").fetchone() == (alice.roles.authenticator,)
        with pytest.raises(errors.InsufficientPrivilege):
            api.execute("CREATE ROLE eve")


def test_a_tenants_ddl_fires_the_stamp_without_lending_its_rights(trapped):
    with trapped.connect(trapped.roles.owner) as owner:
        before = owner.execute("SELECT launchdb.schema_stamp()").fetchone()[0]
        owner.execute("SET search_path = public, pg_catalog")
        owner.execute("CREATE TABLE public.stamped ()")
        assert owner.execute("SELECT launchdb.schema_stamp()").fetchone()[0] == before + 1
    with trapped.as_admin() as admin:
        admin.execute("SET search_path = pg_catalog")
        assert admin.execute("SELECT who FROM public.caught WHERE via <> 'trigger'").fetchall() == []


def test_the_security_definer_functions_pin_their_search_path_and_are_not_public(alice):
    with alice.as_admin() as admin:
        loose = admin.execute(
            "SELECT p.oid::regprocedure FROM pg_proc p WHERE prosecdef AND pronamespace <> 'pg_catalog'::regnamespace"
            " AND (proconfig IS NULL OR NOT proconfig::text LIKE '%search_path%'"
            "      OR has_function_privilege('public', p.oid, 'EXECUTE'))"
        ).fetchall()
    assert loose == [], "What runs with its maker's rights looks nothing up where a tenant can put something"
