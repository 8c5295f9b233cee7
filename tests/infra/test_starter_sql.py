"""Usual starter SQL of Supabase, as a project's owner runs it: what can be had is, the rest names what is there instead."""

from __future__ import annotations

import json

import pytest

from infra.postgres.owner_migration import MigrationFailed, MigrationScript, OwnerSession
from infra.postgres.owner_sql import OwnerSql, SqlRefused
from infra.postgres.supabase_sql.rewrites import rewrite
from infra.postgres.tenant_session import Bounds
from tests.fixtures.projects import drop, new_tenant

BOUNDS = Bounds(20, rows=50, size=100_000)
RUNS = [
    'create extension if not exists "pgcrypto" with schema extensions',
    "create table profiles (id uuid references auth.users on delete cascade primary key, name text, updated_at timestamptz)",
    "create table todos (id uuid default gen_random_uuid() primary key, owner uuid default auth.uid(), done boolean)",
    "alter table todos enable row level security",
    "create policy own on todos for all to authenticated using (auth.uid() = owner) with check (auth.uid() = owner)",
    "create policy seen on profiles for select to anon, authenticated using (true)",
    (
        "create function handle_new_user() returns trigger language plpgsql security definer set search_path = '' as"
        " $$begin insert into public.profiles (id) values (new.id); return new; end$$"
    ),
    "create trigger on_auth_user_created after insert on auth.users for each row execute procedure handle_new_user()",
    "grant usage on schema public to anon, authenticated, service_role",
    "alter default privileges in schema public grant all on tables to anon, authenticated, service_role",
    "insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true)",
    "create policy read on storage.objects for select to public using (bucket_id = 'avatars')",
    "alter publication supabase_realtime add table todos",
    "alter publication supabase_realtime add table only profiles",
    "begin; drop publication if exists supabase_realtime; create publication supabase_realtime; commit",
    "alter role anon set statement_timeout = '3s'",
    "ALTER USER authenticated SET statement_timeout TO 8000",
    "alter role authenticator set statement_timeout = '8s'; alter role authenticator set lock_timeout to '4s'",
    "alter role service_role reset all",
    "alter role anon set timezone to default",
    "alter database postgres set \"app.settings.jwt_exp\" to '3600'",
    "alter database postgres set timezone to 'Europe/Berlin'",
    "alter role all set work_mem = '4MB'",
    "create table user_roles (user_id uuid, role text); alter table user_roles enable row level security",
    "create function custom_access_token_hook(event jsonb) returns jsonb language sql as 'select event'",
    "grant usage on schema public to supabase_auth_admin",
    "grant execute on function public.custom_access_token_hook to supabase_auth_admin",
    "revoke execute on function public.custom_access_token_hook from authenticated, anon, public",
    'grant all on table public.user_roles to "supabase_auth_admin", supabase_storage_admin',
    'create policy "Allow auth admin" on public.user_roles for select to supabase_auth_admin using (true)',
    'alter policy "Allow auth admin" on public.user_roles to supabase_auth_admin, postgres',
    "ALTER FUNCTION public.custom_access_token_hook(event jsonb) OWNER TO postgres",
    'ALTER TABLE public.user_roles OWNER TO "postgres"',
    "grant all on todos to postgres, dashboard_user, service_role",
    "alter default privileges for role postgres in schema public grant all on tables to postgres, anon",
    "ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA public GRANT ALL ON FUNCTIONS TO POSTGRES",
    "create schema private authorization postgres",
]
REFUSED = {
    "create extension pg_cron": "rest/v1/rpc/",
    "select cron.schedule('nightly', '0 0 * * *', 'select 1')": "rest/v1/rpc/",
    "create extension if not exists pg_net with schema extensions": "let an application of yours",
    "select net.http_get('https://example.com')": "let an application of yours",
    "create extension pg_graphql": "REST",
    "create extension if not exists moddatetime schema extensions": "NEW.updated_at = now()",
    "create trigger t before update on profiles for each row execute procedure moddatetime (updated_at)": "NEW.updated_at",
    "create extension vector": "the server's operator",
    "create table docs (id int, embedding vector(3))": "the server's operator",
    "create table old (id uuid default uuid_generate_v4())": "gen_random_uuid()",
    "grant usage on schema public to authenticator": "anon, authenticated and service_role",
    "grant all on todos to pgbouncer": "anon, authenticated and service_role",
    "alter table user_roles owner to supabase_auth_admin": "GRANT it to supabase_auth_admin",
    "alter default privileges for role supabase_storage_admin grant all on tables to anon": "GRANT it to supabase_auth_admin",
    "alter role postgres set statement_timeout = '1min'": "connection string",
    "alter role anon set search_path = other": "schemas of the data API",
}


@pytest.fixture(scope="module")
def tenant(cluster):
    made = new_tenant(cluster)
    yield made
    drop(cluster, made.id)


@pytest.fixture(scope="module")
def run(tenant):
    """Run SQL as the owner, as the platform's API does."""
    sql = OwnerSql(tenant.infra.databases.cluster, tenant.uri(tenant.roles.owner))

    def asked(query):
        return sql.run(query, None, BOUNDS, read_only=False)

    for query in RUNS:
        try:
            asked(query)
        except SqlRefused as error:
            pytest.fail(f"{query}: {error} ({error.hint})")
    return asked


def kept(run):
    comment = run("SELECT obj_description(to_regnamespace('launchdb_role_settings'), 'pg_namespace')").rows[0][0]
    return json.loads(comment)


def test_what_can_be_had_of_starter_sql_is_had(run):
    assert kept(run) == {
        "anon": {"statement_timeout": "3s"},
        "authenticated": {"statement_timeout": "8000"},
        "authenticator": {"statement_timeout": "8s", "lock_timeout": "4s"},
        "service_role": {},
        "every_role": {"app.settings.jwt_exp": "3600", "timezone": "Europe/Berlin", "work_mem": "4MB"},
    }
    assert run("SELECT pubname FROM pg_publication").rows == [["supabase_realtime"]]


@pytest.mark.parametrize("query", REFUSED)
def test_what_cannot_be_had_names_in_one_line_what_is_there_instead(run, query):
    with pytest.raises(SqlRefused) as refused:
        run(query)
    assert REFUSED[query] in (refused.value.hint or ""), f"{query}: {refused.value} ({refused.value.hint})"
    assert "\n" not in refused.value.hint


def test_uuid_ossp_works_or_names_what_is_built_in(run):
    try:
        run('create extension if not exists "uuid-ossp" with schema extensions')
    except SqlRefused as error:
        assert "gen_random_uuid()" in (error.hint or "")  # noqa: PT017 - which of both depends on the server
    else:
        assert run("SELECT extensions.uuid_generate_v4() IS NOT NULL").rows == [[True]]


def test_roles_of_the_project_itself_may_be_named_and_those_of_others_not(run, tenant):
    run(f'alter role "{tenant.roles.anon}" set lock_timeout = 5')
    assert kept(run)["anon"]["lock_timeout"] == "5"
    run("alter role anon reset lock_timeout")
    for other in ("proj_0123456789abcdef_anon", tenant.roles.owner.replace("owner", "storage")):
        with pytest.raises(SqlRefused):
            run(f'alter role "{other}" set lock_timeout = 5')


def test_rights_that_auth_and_storage_are_given_are_those_of_the_projects_logins(run, tenant):
    granted = "SELECT has_table_privilege(%s, 'public.user_roles', 'SELECT'), has_function_privilege(%s, 'public.custom_access_token_hook(jsonb)', 'EXECUTE')"
    with tenant.connect(tenant.roles.auth) as login:
        assert login.execute(granted, [tenant.roles.auth] * 2).fetchone() == (True, True)
        assert login.execute(granted, [tenant.roles.anon] * 2).fetchone()[1] is False
        named = "SELECT roles::text[] FROM pg_policies WHERE tablename = 'user_roles'"
        assert set(login.execute(named).fetchone()[0]) == {tenant.roles.auth, tenant.roles.owner}


def test_such_a_name_counts_where_it_is_a_role_and_stays_what_it_is_elsewhere(run, tenant):
    text = "select 'é postgres' as postgres; grant all on todos to postgres -- not supabase_auth_admin\n;"
    text += "select 'GRANT x TO postgres'"
    written = rewrite(text, tenant.roles.prefix)
    assert written.text == text.replace("to postgres -- not", f'to "{tenant.roles.owner}" -- not')
    assert written.position(written.text.index("'GRANT") + 1) == text.index("'GRANT") + 1


def test_a_migration_is_read_in_the_same_way_and_its_record_is_as_it_was(tenant, run):
    session = OwnerSession(tenant.infra.databases.cluster, tenant.uri(tenant.roles.owner), "test")

    class Watcher:
        def begun(self, _transaction): ...
        def told(self, _line): ...
        def look(self): ...

    text = "create table late ();\nalter role anon set work_mem = '5MB';\ncreate table late2 ();"
    session.apply(MigrationScript("1", "first", text, 20_000), Watcher())
    assert kept(run)["anon"]["work_mem"] == "5MB"
    assert run("SELECT statements[1] FROM supabase_migrations.schema_migrations").rows == [[text]]
    wrong = "alter role anon set work_mem = '6MB';\n\nselect wrong;"
    with pytest.raises(MigrationFailed) as failed:
        session.apply(MigrationScript("2", "second", wrong, 20_000), Watcher())
    assert (failed.value.facts["line"], failed.value.facts["position"]) == (3, wrong.index("wrong") + 1)
    assert kept(run)["anon"]["work_mem"] == "5MB"
    with pytest.raises(MigrationFailed) as failed:
        session.apply(MigrationScript("3", "third", "create extension pg_net;", 20_000), Watcher())
    assert "let an application of yours" in failed.value.facts["hint"]


@pytest.mark.parametrize(
    "text",
    ["select 1", "alter role anon set", "alter role anon set timezone = interval '1 hour'", "alter role anon login",
     "select 'alter role anon set work_mem = 1'", "-- alter role anon set x = 1", "alter database other set work_mem = 1"],
)  # fmt: skip
def test_what_is_nothing_of_that_is_left_as_it_is(text):
    assert rewrite(text, "proj_0123456789abcdef").text == text


def test_places_in_what_was_written_are_told_whatever_was_rewritten():
    text = "select é; alter role anon set work_mem = 1; select a; alter database postgres set b.c = 'd';\nselect e"
    anew = rewrite(text, "proj_0123456789abcdef")
    for word in ("select é", "select a", "select e"):
        assert anew.position(anew.text.index(word) + 1) == text.index(word) + 1
    assert anew.position(anew.text.index("'anon'") + 1) == text.index("alter role") + 1
    assert anew.position(None) is None
