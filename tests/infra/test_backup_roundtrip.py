"""A project's database goes through a backup file and comes back the same, whatever a tenant has made in it."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from catalog import names
from infra import archive
from infra.beside import Beside
from infra.contents import looking
from infra.dumps import FORMATS, FORMS, Programs
from infra.errors import Refused
from infra.gpg import Gpg
from infra.pipeline import Failed
from infra.replay import Replay

pytestmark = pytest.mark.gpg

KEY = "a-key-of-the-tests-0123456789+/="
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


@pytest.fixture
def programs(settings):
    return Programs.of(settings)


def dumped(tenant, programs, gpg, path, form):
    uri = tenant.uri(tenant.roles.dump)
    with looking(uri, "test", project=tenant.id) as look:
        with programs.dump(uri, form, snapshot=look.snapshot, session="test") as plain:
            stored = archive.store(plain, path, FORMS[form], gpg, KEY, lambda _done: None)
        return stored, look.take(lambda: None)


@pytest.mark.parametrize("form", FORMATS)
def test_everything_a_tenant_made_comes_back(form, infra, tenant, programs, tmp_path):
    furnish(tenant)
    gpg, path = Gpg(tmp_path / "gnupg"), tmp_path / f"x.{form}.gpg"
    stored, before = dumped(tenant, programs, gpg, path, form)
    assert before.rows["public.rows"] == 5000
    assert path.stat().st_mode & 0o777 == 0o600

    name = names.beside(tenant.id, "restored")
    beside = Beside(infra.databases, tenant.roles, "test")
    try:
        beside.make(name, infra.databases.templates.version)
        with (
            beside.restorer(name) as login,
            archive.opened(path, FORMS[form], gpg, KEY) as plain,
            programs.as_sql(plain, form, most_bytes=stored.plain_bytes) as text,
        ):
            replay = Replay(
                login,
                extend=lambda extension, schema: beside.extend(name, login, extension, schema),
                look=lambda _done: None,
            )
            played = replay.play(text)
        beside.settle(name)
        beside.set_mark(name, "done")
        with looking(tenant.uri(tenant.roles.dump, name), "test", project=tenant.id) as look:
            assert before.faults(look.take(lambda: None)) == []
        assert played.failures == []
        assert played.tables > 5
        assert not Path("/tmp/launchdb-pwned").exists(), "a name was obeyed"
        assert beside.mark(name) == "done"
        with infra.databases.cluster.session("test") as admin:
            assert (
                admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (tenant.roles.restore,)).fetchone() is None
            )
    finally:
        beside.drop(name)
        beside.drop_restorer()


def test_plain_gpg_and_gunzip_read_it(tenant, programs, tmp_path):
    path = tmp_path / "x.sql.gz.gpg"
    dumped(tenant, programs, Gpg(tmp_path / "gnupg"), path, "sql.gz")
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
    archive.store(io.BytesIO(b"secret" * 100000), path, form, gpg, KEY, lambda _done: None)
    with pytest.raises((Failed, archive.Damaged)), archive.opened(path, form, gpg, KEY + "x") as plain:
        assert plain.read() == b""


def test_a_writing_that_is_stopped_leaves_no_file(tmp_path):
    gpg = Gpg(tmp_path / "gnupg")
    with Path("/dev/zero").open("rb") as endless, pytest.raises(Refused):
        archive.store(endless, tmp_path / "x", "gz", gpg, KEY, stop_after(1 << 24))
    assert list(tmp_path.glob("x*")) == []


def stop_after(most):
    def look(done):
        if done > most:
            raise Refused("enough")

    return look
