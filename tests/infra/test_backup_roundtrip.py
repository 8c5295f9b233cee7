"""A project's database goes through a backup file and comes back the same, whatever a tenant has made in it."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from infra.backup import archive
from infra.backup.dumps import FORMATS
from infra.errors import Refused
from infra.gpg import Gpg
from infra.pipeline import ProgramFailed
from infra.postgres.extensions import Extensions, create_untrusted
from infra.postgres.project_staging import ProjectStaging
from tests.fixtures.roundtrip import KEY, differences, dumped, restored

pytestmark = pytest.mark.gpg

# Everything a tenant can make, with names that want to be more than names.
WORLD = r"""
CREATE SCHEMA "odd ""schema""; --";
CREATE TYPE public.mood AS ENUM ('sad', 'o''k', 'ha;ppy');
CREATE DOMAIN public.short AS text CHECK (length(VALUE) < 100);
CREATE TABLE "odd ""schema""; --"."t\.
\! touch /tmp/launchdb-pwned
" (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m public.mood DEFAULT 'sad', d public.short, b bytea,
   twice integer GENERATED ALWAYS AS (7 * 2) STORED, dropped int, "Ünï" text DEFAULT E'\\.\n');
ALTER TABLE "odd ""schema""; --"."t\.
\! touch /tmp/launchdb-pwned
" DROP COLUMN dropped;
CREATE TABLE public.rows (id bigserial PRIMARY KEY, words text, j jsonb, at timestamptz DEFAULT now());
INSERT INTO public.rows (words, j) SELECT repeat('x\.' || chr(10) || chr(9) || '\', n % 50), jsonb_build_object('n', n)
  FROM generate_series(1, 5000) n;
CREATE TABLE public.nothing ();
CREATE TABLE public.empty (id int);
CREATE TABLE public.child (id int PRIMARY KEY, owner uuid REFERENCES auth.users, parent bigint REFERENCES public.rows);
CREATE TABLE public.parts (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO public.parts VALUES (1, '2026-05-05');
CREATE FUNCTION public.f(a text DEFAULT ';') RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
  -- COPY public.rows FROM stdin;
  RETURN 'a;b' || a || $q$;$q$;
END $body$;
CREATE FUNCTION public.g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;
CREATE FUNCTION public.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tt BEFORE INSERT ON public.rows FOR EACH ROW EXECUTE FUNCTION public.t();
CREATE TRIGGER on_user AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.t();
CREATE VIEW public.v AS SELECT id, f('x;') AS f FROM public.rows WHERE words <> ';';
CREATE MATERIALIZED VIEW public.mv AS SELECT count(*) AS n FROM public.rows;
ALTER TABLE public.rows ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.rows FORCE ROW LEVEL SECURITY;
CREATE POLICY "p;'" ON public.rows FOR SELECT TO authenticated, anon USING (words <> ';');
CREATE POLICY own ON storage.objects FOR SELECT TO authenticated USING (owner_id = auth.uid()::text);
GRANT SELECT (id) ON public.child TO anon;
REVOKE ALL ON public.empty FROM anon, authenticated;
GRANT SELECT ON public.empty TO authenticated WITH GRANT OPTION;
COMMENT ON TABLE public.empty IS 'it''s; "quoted"';
CREATE INDEX words_idx ON public.rows (lower(words)) WHERE id > 3;
CREATE STATISTICS public.stat (dependencies) ON id, words FROM public.rows;
CREATE SEQUENCE public.s START 5; SELECT nextval('public.s');
CREATE PUBLICATION pub FOR TABLE public.child;
CREATE CAST (public.mood AS integer) WITH FUNCTION public.mood_number(public.mood);
SELECT lo_from_bytea(4242, 'large; object');
CREATE TABLE public.atomic ("begin" int, "end" int, "case" int);
CREATE FUNCTION public.begin() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.atomic("end" int) RETURNS SETOF int BEGIN ATOMIC
  SELECT a.begin AS "end" FROM public.atomic a; SELECT CASE WHEN true THEN a.end END AS begin FROM public.atomic a; END;
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
"""


def furnish(tenant) -> None:
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA extensions")
        before, cast, after = WORLD.partition("CREATE CAST")
        owner.execute(before)
        owner.execute(
            "CREATE FUNCTION public.mood_number(public.mood) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1'"
        )
        owner.execute(cast + after)
    with tenant.connect(tenant.roles.auth) as auth:
        auth.execute("INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'a@example.org')")


@pytest.mark.parametrize("form", FORMATS)
def test_everything_a_tenant_made_comes_back(form, infra, tenant, tmp_path):
    furnish(tenant)
    source = dumped(tenant, tmp_path, form)
    assert source.contents.rows["public.rows"] == 5000
    assert source.path.stat().st_mode & 0o777 == 0o600

    with restored(tenant, source) as (name, played):
        staging = ProjectStaging(infra.databases, tenant.roles, "test")
        staging.set_mark(name, "done")
        assert differences(tenant, source, name) == []
        assert played.tables > 5
        assert not Path("/tmp/launchdb-pwned").exists(), "a name was obeyed"
        assert staging.mark(name) == "done"
        with infra.databases.cluster.session("test") as admin:
            assert (
                admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (tenant.roles.restore,)).fetchone() is None
            )


def test_plain_gpg_and_gunzip_read_it(tenant, tmp_path):
    path = dumped(tenant, tmp_path, "sql.gz").path
    words = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--decrypt", path]
    out = subprocess.run(
        words, input=KEY.encode(), capture_output=True, check=True, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    )
    text = subprocess.run(["gunzip"], input=out.stdout, capture_output=True, check=True).stdout
    assert b"-- PostgreSQL database dump" in text[:200]
    assert b"-- PostgreSQL database dump complete" in text[-200:]


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_wrong_key_lets_nothing_out(form, tmp_path):
    gpg, path = Gpg(tmp_path / "gnupg"), tmp_path / "x"
    archive.store_file(io.BytesIO(b"secret" * 100000), path, form, gpg, KEY, lambda _done: None)
    with pytest.raises((ProgramFailed, archive.BackupDamaged)), archive.open_plain(path, form, gpg, KEY + "x") as plain:
        assert plain.read() == b""


def test_a_writing_that_is_stopped_leaves_no_file(tmp_path):
    gpg = Gpg(tmp_path / "gnupg")
    with Path("/dev/zero").open("rb") as endless, pytest.raises(Refused):
        archive.store_file(endless, tmp_path / "x", "gz", gpg, KEY, stop_after(1 << 24))
    assert list(tmp_path.glob("x*")) == []


def stop_after(most):
    def look(done):
        if done > most:
            raise Refused("enough")

    return look


def test_a_search_path_that_a_function_took_from_the_session_comes_back(tenant, tmp_path):
    """It is kept as it was typed, and comes back as the server writes it; another one is another."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("""SELECT set_config('search_path', 'public,extensions,"odd "",one", "plain"', false)""")
        owner.execute("CREATE FUNCTION public.h() RETURNS int LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT 1'")
        owner.execute("CREATE FUNCTION public.nowhere() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 1'")
    source = dumped(tenant, tmp_path, "sql.gz")
    with restored(tenant, source) as (name, _):
        assert differences(tenant, source, name) == []
        with tenant.as_admin(name) as admin:
            for function, path in (("h", 'public, extensions, "odd "",one"'), ("nowhere", "public")):
                admin.execute(f"ALTER FUNCTION public.{function}() SET search_path = {path}")
        assert [each.split(":")[0] for each in differences(tenant, source, name)] == [
            "function public.h()",
            "function public.nowhere()",
        ]


def test_whatever_extension_an_owner_may_create_comes_back(tenant, tmp_path):
    trusted = "SELECT name FROM pg_available_extension_versions WHERE trusted AND name <> 'plpgsql' AND NOT installed"
    with tenant.connect(tenant.roles.owner) as owner:
        names = {name for (name,) in owner.execute(trusted)}
        for name in names:
            try:
                owner.execute(f'CREATE EXTENSION "{name}" WITH SCHEMA extensions CASCADE')
            except (psycopg.errors.UndefinedFile, psycopg.errors.DuplicateObject):  # not built; came by CASCADE
                continue
        owner.execute("CREATE TABLE pictures (id int, picture extensions.lo)")
        there = set(owner.execute("SELECT extname, extnamespace::regnamespace::text FROM pg_extension"))
    assert ("lo", "extensions") in there
    source = dumped(tenant, tmp_path, "sql.gz")
    with restored(tenant, source) as (name, _):
        assert differences(tenant, source, name) == []
        with tenant.as_admin(name) as admin:
            assert set(admin.execute("SELECT extname, extnamespace::regnamespace::text FROM pg_extension")) == there


def extensions(tenant):
    return Extensions(tenant.infra.databases.cluster, tenant.id, tenant.uri(tenant.roles.owner), "test")


def extended(tenant, *names):
    return [extensions(tenant).ensure(name).schema for name in names]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("before", [False, True], ids=["as it is made", "with what it requires in the owner's schema"])
def test_an_extension_that_only_the_administrator_may_create_comes_back(before, form, tenant, tmp_path):
    if before:
        with tenant.connect(tenant.roles.owner) as owner:
            owner.execute("CREATE EXTENSION cube SCHEMA extensions")
        with tenant.infra.databases.cluster.open_in_database(tenant.id, "test") as admin:
            create_untrusted(admin, "earthdistance", alone=True)
    else:
        assert extended(tenant, "cube", "earthdistance") == ["launchdb_extensions", "launchdb_extensions"]
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE places (at launchdb_extensions.earth)")
        owner.execute("INSERT INTO places VALUES (launchdb_extensions.ll_to_earth(27.7, 85.3))")
    source = dumped(tenant, tmp_path, form)
    # As sets were made before, which named that schema.
    named = replace(source.contents, objects={**source.contents.objects, "schema launchdb_extensions": "1"})
    with restored(tenant, source) as (name, _):
        assert differences(tenant, source, name) == []
        assert differences(tenant, replace(source, contents=named), name) == []
        with tenant.as_admin(name) as admin:
            assert admin.execute(WHOSE, (tenant.roles.owner,)).fetchone() == (True, False, True)


def test_a_schema_that_such_an_extension_has_left_behind_keeps_nothing_away(tenant, tmp_path):
    extended(tenant, "cube", "earthdistance")
    extensions(tenant).remove("earthdistance", cascade=False)
    source = dumped(tenant, tmp_path, "sql.gz")
    with restored(tenant, source) as (name, _):
        assert differences(tenant, source, name) == []


WHOSE = """SELECT r.rolsuper, has_schema_privilege(%s, n.oid, 'CREATE'),
       has_schema_privilege('anon', n.oid, 'USAGE')
  FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE nspname = 'launchdb_extensions'"""


def test_a_tenants_own_schema_of_the_administrators_name_stays_the_tenants_and_no_extension_goes_there(
    tenant, tmp_path
):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE SCHEMA launchdb_extensions; CREATE TABLE launchdb_extensions.mine AS SELECT 1 AS n")
        owner.execute("CREATE EXTENSION citext SCHEMA launchdb_extensions")
        owner.execute("GRANT USAGE ON SCHEMA launchdb_extensions TO anon")
    with pytest.raises(Refused, match="is not the administrator's"):
        extended(tenant, "cube", "earthdistance")
    source = dumped(tenant, tmp_path, "sql.gz")
    assert source.contents.rows["launchdb_extensions.mine"] == 1
    with restored(tenant, source) as (name, _):
        assert differences(tenant, source, name) == []
