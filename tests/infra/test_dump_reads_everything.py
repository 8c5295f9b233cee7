"""The platform's dump reads what a project holds, whoever made it and whatever its owner took from themselves."""

from __future__ import annotations

import pytest

from tests.fixtures.roundtrip import differences, dumped, restored

pytestmark = pytest.mark.gpg

BY_SERVICE_ROLE = """
GRANT CREATE ON SCHEMA public TO service_role;
CREATE FUNCTION public.make() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  CREATE TABLE public.made (id bigserial PRIMARY KEY, word text CHECK (word <> ''));
  REVOKE ALL ON public.made FROM PUBLIC;
  INSERT INTO public.made (word) VALUES ('one'), ('two');
  CREATE VIEW public.seen AS SELECT * FROM public.made;
  CREATE MATERIALIZED VIEW public.kept AS SELECT count(*) FROM public.made;
  CREATE TYPE public.mood AS ENUM ('sad');
  CREATE DOMAIN public.short AS text CHECK (length(VALUE) < 9);
  CREATE SEQUENCE public.numbers START 7;
  PERFORM nextval('public.numbers');
  CREATE FUNCTION public.own(a int, b public.mood) RETURNS int LANGUAGE sql AS 'SELECT 1';
  CREATE FUNCTION public.same(a text, b text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
  CREATE OPERATOR public.=~= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);
  PERFORM lo_from_bytea(7, 'large');
END $$;
"""
TAKEN = """
CREATE SCHEMA shut;
CREATE TABLE shut.rows (id serial PRIMARY KEY, word text);
INSERT INTO shut.rows (word) VALUES ('a'), ('b');
CREATE TABLE public.mine (id int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (2 * 2) STORED);
INSERT INTO public.mine DEFAULT VALUES;
CREATE TABLE public.parts (id int) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (9);
INSERT INTO public.parts VALUES (3);
ALTER TABLE public.mine ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.mine FORCE ROW LEVEL SECURITY;
CREATE FUNCTION public.hidden() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT lo_from_bytea(8, 'mine');
REVOKE ALL ON public.mine, public.parts, public.parts_1, shut.rows FROM current_user;
REVOKE ALL (id) ON public.mine FROM current_user;
REVOKE ALL ON SEQUENCE public.mine_id_seq, shut.rows_id_seq FROM current_user;
REVOKE ALL ON FUNCTION public.hidden() FROM current_user, PUBLIC;
REVOKE ALL ON LARGE OBJECT 8 FROM current_user;
REVOKE ALL ON SCHEMA shut FROM current_user;
REVOKE ALL ON SCHEMA public FROM current_user, PUBLIC;
"""


@pytest.mark.parametrize("form", ["sql.gz", "dump.zst"])
def test_what_nobody_but_its_maker_may_read_is_backed_up_and_restored(form, tenant, tmp_path):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(BY_SERVICE_ROLE)
    with tenant.connect(tenant.roles.authenticator) as api:
        api.execute(f'SET ROLE "{tenant.roles.service}"')
        api.execute("SELECT public.make()")
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(TAKEN)
    before = dumped(tenant, tmp_path, form)
    assert (before.contents.rows["public.made"], before.contents.rows["shut.rows"]) == (2, 2)
    with restored(tenant, before) as (name, _):
        assert differences(tenant, before, name) == []
        with tenant.as_admin(name) as admin:
            read = admin.execute("SELECT convert_from(lo_get(7), 'UTF8'), convert_from(lo_get(8), 'UTF8')").fetchone()
            assert read == ("large", "mine")
