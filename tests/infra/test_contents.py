"""What a comparison of two databases calls a fault, what a remark, and what it does not mind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.backup.differences import differences, expression_words, serious_differences
from infra.backup.fingerprint import Fingerprint, open_reader

WORLD = """
CREATE TABLE a (id int PRIMARY KEY, status varchar(9) DEFAULT 'x' CHECK (status IN ('x', 'y')), n int NOT NULL DEFAULT 7,
    twice int GENERATED ALWAYS AS (n * 2) STORED);
CREATE TABLE b (id int PRIMARY KEY, a int CONSTRAINT to_a REFERENCES a);
CREATE INDEX a_n ON a (n) WHERE n > 5;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tt BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION t();
ALTER TABLE a ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON a TO authenticated USING (status IN ('x', 'y') AND n > 3);
CREATE VIEW v AS SELECT id, n FROM a WHERE n > 5;
CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM a;
CREATE TYPE e AS ENUM ('p', 'q');
CREATE SEQUENCE s;
CREATE PUBLICATION pub FOR TABLE a;
COMMENT ON TABLE a IS 'said';
REVOKE ALL ON a FROM anon;
GRANT SELECT ON a TO anon;
INSERT INTO a (id) VALUES (1), (2);
"""
DAMAGES = {
    "a row less": ("DELETE FROM a WHERE id = 2", "table public.a: 1 rows instead of 2"),
    "no row at all": ("DELETE FROM a", "table public.a: 0 rows instead of 2"),
    "a table lost": ("DROP TABLE b", "table public.b: no rows instead of 0"),
    "a check dropped": ("ALTER TABLE a DROP CONSTRAINT a_status_check", "constraint public.a.a_status_check: it is missing"),
    "a foreign key dropped": ("ALTER TABLE b DROP CONSTRAINT to_a", "constraint public.b.to_a: it is missing"),
    "a foreign key unchecked": (
        "ALTER TABLE b DROP CONSTRAINT to_a, ADD CONSTRAINT to_a FOREIGN KEY (a) REFERENCES a NOT VALID", "constraint public.b.to_a: its definition"),
    "a check unchecked": (
        "ALTER TABLE a DROP CONSTRAINT a_status_check, ADD CONSTRAINT a_status_check CHECK (status IN ('x', 'y')) NOT VALID",
        "constraint public.a.a_status_check: its definition"),
    "a check that allows more": (
        "ALTER TABLE a DROP CONSTRAINT a_status_check, ADD CONSTRAINT a_status_check CHECK (status IN ('x', 'z'))",
        "constraint public.a.a_status_check: its definition lost 'y'"),
    "another owner": ("ALTER TABLE b OWNER TO {auth}", "relation public.b: its definition, owner or rights differ"),
    "rights more": ("GRANT INSERT ON a TO anon", "relation public.a: its definition, owner or rights differ"),
    "rights less": ("REVOKE SELECT ON a FROM anon", "relation public.a: its definition, owner or rights differ"),
    "rights on a column": ("GRANT UPDATE (n) ON a TO anon", "column public.a.n: its definition, owner or rights differ"),
    "row security off": ("ALTER TABLE a DISABLE ROW LEVEL SECURITY", "relation public.a: its definition"),
    "row security forced": ("ALTER TABLE a FORCE ROW LEVEL SECURITY", "relation public.a: its definition"),
    "a policy lost": ("DROP POLICY p ON a", "policy public.a.p: it is missing"),
    "a policy for others": ("ALTER POLICY p ON a TO PUBLIC", "policy public.a.p: its definition"),
    "a policy that asks less": ("ALTER POLICY p ON a USING (status IN ('x', 'y'))", "policy public.a.p: its definition lost 3"),
    "a policy more": ("CREATE POLICY q ON a USING (true)", "policy public.a.q: it was not there"),
    "a trigger off": ("ALTER TABLE a DISABLE TRIGGER tt", "trigger public.a.tt: its definition"),
    "a trigger lost": ("DROP TRIGGER tt ON a", "trigger public.a.tt: it is missing"),
    "a default lost": ("ALTER TABLE a ALTER n DROP DEFAULT", "column public.a.n: its definition"),
    "another default": ("ALTER TABLE a ALTER n SET DEFAULT 8", "column public.a.n: its definition lost 7"),
    "NOT NULL lost": ("ALTER TABLE a ALTER n DROP NOT NULL", "column public.a.n: its definition"),
    "another type": ("ALTER TABLE b ALTER a TYPE bigint", "column public.b.a: its definition"),
    "a column lost": ("ALTER TABLE b DROP a", "column public.b.a: it is missing"),
    "an index lost": ("DROP INDEX a_n", "relation public.a_n: it is missing"),
    "an index over less": ("DROP INDEX a_n; CREATE INDEX a_n ON a (n)", "relation public.a_n: its definition"),
    "another body": ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", "function public.f(): its definition"),
    "a function as its owner": ("ALTER FUNCTION f() SECURITY DEFINER", "function public.f(): its definition"),
    "another view": ("CREATE OR REPLACE VIEW v AS SELECT id, n FROM a WHERE n > 6", "relation public.v: its definition lost 5"),
    "a view not filled": ("REFRESH MATERIALIZED VIEW m WITH NO DATA", "filling of public.m: it is missing"),
    "a label more": ("ALTER TYPE e ADD VALUE 'r'", "type public.e: its definition"),
    "another step": ("ALTER SEQUENCE s INCREMENT 2", "relation public.s: its definition"),
    "a sequence lost": ("DROP SEQUENCE s", "sequence public.s: missing"),
    "another publication": ("ALTER PUBLICATION pub ADD TABLE b", "publication pub: its definition"),
    "another comment": ("COMMENT ON TABLE a IS 'else'", "comment on table public.a: its definition"),
    "rights to come": ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO anon", "default rights <id>_owner  r: it was not there"),
}  # fmt: skip


def look(tenant):
    with open_reader(tenant.infra.databases.cluster, tenant.uri(tenant.roles.dump), "test", project=tenant.id) as found:
        return found.read(lambda: None)


@pytest.fixture
def furnished(tenant):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(WORLD)
    return tenant


def test_whatever_was_lost_or_added_is_named(furnished):
    """Each damage is done to a copy of the whole: nothing that a comparison has to see is taken for another way to write it."""
    tenant, before = furnished, look(furnished)
    assert differences(before, look(tenant)) == []
    wrong = []
    for what, (damage, said) in DAMAGES.items():
        copy = f"{tenant.id}_trial"
        with tenant.infra.databases.cluster.session("test") as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{copy}"')
            admin.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{tenant.id}" OWNER launchdb_platform STRATEGY wal_log')
        with tenant.infra.databases.cluster.open_in_database(copy, "test") as admin:
            admin.execute(f'SET ROLE "{tenant.roles.owner}"') if "OWNER TO" not in damage else None
            admin.execute("SET search_path = public")
            admin.execute(damage.format(auth=f'"{tenant.roles.auth}"'))
            admin.execute("RESET ROLE; RESET search_path")
            admin.execute(f'GRANT CONNECT ON DATABASE "{copy}" TO "{tenant.roles.dump}"')
        with open_reader(
            tenant.infra.databases.cluster, tenant.uri(tenant.roles.dump, copy), "test", project=tenant.id
        ) as found:
            told = serious_differences(before, found.read(lambda: None))
        wrong += [] if any(fault.startswith(said) for fault in told) else [f"{what}: {told}"]
    assert wrong == []


TIMES = """
CREATE TABLE years (at timestamptz, took interval, price money, share float8, raw bytea,
    CHECK (at > '2020-01-01 00:00+00' AND took < '1 day 02:00' AND price < '1000.5'::money AND share < 0.1
           AND raw <> '\\x00ff')) PARTITION BY RANGE (at);
CREATE TABLE years_26 PARTITION OF years FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
"""
ELSEWHERE = {"timezone": "Asia/Kathmandu", "datestyle": "German", "intervalstyle": "iso_8601", "bytea_output": "escape",
             "extra_float_digits": "-10", "quote_all_identifiers": "on"}  # fmt: skip


def test_a_server_that_is_set_otherwise_shows_no_difference(tenant):
    """What is compared may have been looked at on another machine, in another time zone."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(TIMES)
    before = look(tenant)
    assert "2026-01-01 00:00:00+00" in before.texts["relation public.years_26"]
    with tenant.infra.databases.cluster.session("test") as admin:
        for name, value in ELSEWHERE.items():
            admin.execute(f"ALTER DATABASE \"{tenant.id}\" SET {name} = '{value}'")
    assert (look(tenant).texts, differences(before, look(tenant))) == (before.texts, [])


def change_options(tenant, change):
    """Do with the columns' options what no statement of this server does."""
    with tenant.infra.databases.cluster.open_in_database(tenant.id, "test") as admin:
        admin.execute(
            f"UPDATE pg_attribute SET attoptions = {change} WHERE attnum > 0 AND attrelid IN"
            " (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)"
        )


def test_the_number_that_a_server_gives_a_column_is_no_difference(furnished):
    with furnished.connect(furnished.roles.owner) as owner:
        owner.execute("ALTER TABLE a ALTER n SET (n_distinct = 7)")
    plain = look(furnished)
    # As Postgres does from 17.12 on; it gives another number in each database.
    change_options(furnished, "attoptions || 'pg_attver=1'::text")
    numbered = look(furnished)
    change_options(furnished, "array_remove(attoptions, 'pg_attver=1') || 'pg_attver=2'::text")
    assert (plain.numbered, numbered.numbered) == (False, True)
    assert differences(plain, numbered) == differences(numbered, look(furnished)) == []
    # A set that was made when the number counted cannot say more; what else it knows of a column still counts.
    digests = {key: "as it was" for key in numbered.objects if key.startswith("column public.a.")}
    of_before = replace(numbered, objects={**numbered.objects, **digests}, numbered=None)
    assert {each.remark for each in differences(of_before, look(furnished))} == {True}
    change_options(furnished, "array_remove(attoptions, 'n_distinct=7')")
    assert serious_differences(numbered, look(furnished)) == [
        "column public.a.n: its definition, owner or rights differ"
    ]


def test_what_is_only_not_there_can_be_agreed_to_but_no_guard():
    kept = Fingerprint(
        {"public.a": 3}, {}, {"relation public.i": "1", "policy public.a.p": "2", "trigger public.a.t": "3"}, texts={}
    )
    found = Fingerprint({"public.a": 0}, {}, {}, texts={})
    assert {each.about: each.lacking for each in differences(kept, found)} == {
        "table public.a": True,
        "relation public.i": True,
        "policy public.a.p": False,
        "trigger public.a.t": False,
    }
    # What guards a table that is not there either guards nothing.
    more = Fingerprint({}, {}, {"relation public.a": "0", **kept.objects}, texts={})
    assert all(each.lacking for each in differences(more, found))
    fewer = differences(kept, Fingerprint({"public.a": 2}, {}, dict(kept.objects), texts={}))
    assert [(each.words, each.lacking) for each in fewer] == [("2 rows instead of 3", False)]


ANOTHER_WAY = [
    ("((status)::text = ANY ((ARRAY['NEW'::character varying, 'PAID'::character varying])::text[]))",
     "((status)::text = ANY (ARRAY[('NEW'::character varying)::text, ('PAID'::character varying)::text]))"),
    ("((lat >= ('-90'::integer)::double precision) AND (lat <= (90)::double precision))",
     "((lat >= (-90)::double precision) AND (lat <= (90)::double precision))"),
    ("(((a >= 1) AND (a <= 2)) AND ((b >= 3) AND (b <= 4)))", "((a >= 1) AND (a <= 2) AND (b >= 3) AND (b <= 4))"),
    ("((at)::timestamp(3) without time zone > '2020-01-01'::\"odd schema\".stamp)", "(at > '2020-01-01')"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ANOTHER_WAY)))
def test_another_way_to_write_the_same_is_no_difference(number):
    one, other = ANOTHER_WAY[number]
    assert expression_words(one) == expression_words(other)


def test_a_sequence_that_was_used_meanwhile_may_have_any_value():
    kept = Fingerprint(
        {}, {"sequence a": 5, "sequence b": 5}, {}, {"sequence a": 9, "sequence b": 5}, moved=["sequence a"]
    )
    found = differences(kept, Fingerprint({}, {"sequence a": 2, "sequence b": 4}, {}))
    assert [(str(each), each.remark) for each in found] == [
        ("sequence b: 4 instead of 5", False),
        ("sequence a: 2 instead of 5 to 9", True),
    ]
    assert differences(kept, Fingerprint({}, {"sequence a": 7, "sequence b": 5}, {})) == []
