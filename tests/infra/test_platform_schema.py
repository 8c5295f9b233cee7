"""The platform's schema: one baseline, functions that are applied anew, and a database of before that is taken over."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import psycopg
import pytest

from config.settings import CHECKOUT
from infra.backup.dumps import PostgresPrograms
from infra.errors import Refused
from infra.pipeline import run
from infra.postgres import migrations, repeatables

# The number of a file of functions goes up with every change, or databases that have it already would refuse it.
FUNCTIONS_BY_NUMBER = {
    "catalogue@1": "0e9db4318bfc99ed7c4ba0c43acb9660cd46cdb394a9bc5f1c3e617e31ad6af3",
    "catalogue@2": "e7c39413c050c47d641177a117a2eaf9f941631c2639424d3be86b78f6b2f1f9",
    "engine@1": "a52b241b3f57ac73cf793f863153a416c5879224c0094dfd8fbaef65e7c7eee0",
    "engine@2": "92c9656452e39fd7fcb01c1f8bb4898b3c219318f99af16e96b7901311d84bfd",
    "engine@3": "3fa142bbc29bc7cdae963baea9bc2c3c1fee67b3b0b21ce440469f1b7d0c56fc",
}
NEWEST = [one.version for one in (*migrations.read_migrations("platform"), *repeatables.read_repeatables("platform"))]
ROWS = "SELECT xpath('/table/row', query_to_xml(format('SELECT * FROM %%I ORDER BY 1, 2', %s::text), true, false, ''))::text"
# Whatever would get another number if it were made anew.
THINGS = """
SELECT 'relation ' || oid::regclass, oid::bigint, relfilenode::bigint FROM pg_class
 WHERE relnamespace IN ('public'::regnamespace, 'pgbouncer'::regnamespace) AND relname NOT LIKE 'schema_functions%'
UNION ALL SELECT 'function ' || oid::regprocedure, oid::bigint, 0 FROM pg_proc
 WHERE pronamespace IN ('public'::regnamespace, 'pgbouncer'::regnamespace)
UNION ALL SELECT 'trigger ' || tgname, oid::bigint, 0 FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'constraint ' || conname, oid::bigint, 0 FROM pg_constraint WHERE conrelid <> 0
   AND connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('schema_functions'), 0)
"""
FUNCTIONS = """
SELECT oid::regprocedure::text, pg_get_functiondef(oid), proowner::regrole::text, proacl::text, obj_description(oid, 'pg_proc')
  FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'pgbouncer'::regnamespace) ORDER BY 1
"""
TOLD = "CREATE OR REPLACE FUNCTION history_bounds() RETURNS double precision[] LANGUAGE sql IMMUTABLE AS $$"
DEFINES = re.compile(r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\s+([\w.\"]+)\s*\(", re.IGNORECASE)
# The template of projects is numbered files all the way: what one of them has changed is defined in both.
CHANGED_IN_THE_TEMPLATE = {
    "launchdb.schema_changed", "storage.get_common_prefix", "storage.search", "storage.search_v2",
}  # fmt: skip


def migrate(url, upto=""):
    with psycopg.connect(url, autocommit=True) as connection:
        return migrations.apply_migrations(connection, "platform", upto=upto)


def ask(url, statement, values=None):
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement, values)
        return found.fetchall() if found.description else None


def schema(url, settings):
    """All that pg_dump knows of a database but its rows, in its own order, columns in theirs."""
    pg_dump = PostgresPrograms.of(settings).folder / "pg_dump"
    text = run([pg_dump, "--schema-only", "--no-password", f"--dbname={url}"], timeout_seconds=60)
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]


def rows(url):
    tables = [name for (name,) in ask(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
    return {table: ask(url, ROWS, (table,))[0][0] for table in tables if not table.startswith("schema_")}


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """Have the program be one whose functions are others: a function of the engine's text, and how much newer it is."""

    def become(text, more):
        file = tmp_path / "functions.sql"
        file.write_text(re.sub(r"\A-- number: (\d+)", lambda found: f"-- number: {int(found[1]) + more}", text))
        files = {**repeatables.FILES["platform"], "engine": file}
        monkeypatch.setattr(repeatables, "FILES", {"platform": files})

    return become


def number(url):
    return ask(url, "SELECT number FROM schema_functions WHERE name = 'engine'")[0][0]


def engine_text():
    return repeatables.FILES["platform"]["engine"].read_text()


def test_a_database_of_before_becomes_what_a_new_one_is(platform_of_before, empty_url, settings):
    assert migrate(empty_url) == migrate(platform_of_before) == NEWEST
    assert schema(platform_of_before, settings) == schema(empty_url, settings)
    found = ask(empty_url, FUNCTIONS)
    assert len(found) > 20
    assert ask(platform_of_before, FUNCTIONS) == found
    for record in ("version, checksum FROM schema_migrations", "name, number, checksum FROM schema_functions"):
        statement = f"SELECT {record} ORDER BY 1"
        assert ask(platform_of_before, statement) == ask(empty_url, statement)
    for table, column in (("queues", "name"), ("audit_chain", "only_row"), ("job_history_mark", "only_row")):
        statement = f"SELECT {column} FROM {table} ORDER BY 1"
        assert ask(platform_of_before, statement) == ask(empty_url, statement) != []


def test_a_database_of_before_is_taken_over_with_nothing_made_anew_and_no_row_touched(platform_of_before):
    things, kept = sorted(ask(platform_of_before, THINGS)), rows(platform_of_before)
    assert {table for table, held in kept.items() if held == "{}"} == set(), "each table has a row to lose"
    assert migrate(platform_of_before, upto="0001_baseline") == ["0001_baseline"]
    assert sorted(ask(platform_of_before, THINGS)) == things
    assert rows(platform_of_before) == kept
    assert migrate(platform_of_before) == NEWEST[1:]
    assert {name: number for name, number, _ in things}.items() <= dict(
        thing[:2] for thing in ask(platform_of_before, THINGS)
    ).items()
    assert migrate(platform_of_before) == []


def test_functions_that_a_database_of_before_has_otherwise_become_those_of_the_files(platform_of_before, empty_url):
    migrate(empty_url)
    ask(platform_of_before, f"{TOLD} SELECT '{{1}}'::double precision[] $$")
    migrate(platform_of_before)
    assert ask(platform_of_before, FUNCTIONS) == ask(empty_url, FUNCTIONS)


def test_the_program_of_before_finds_all_its_files_in_the_record(platform_of_before, empty_url):
    """It applies what is not there and refuses what is other: so it leaves a new database alone, and one taken over."""
    statement = "SELECT version, checksum FROM schema_migrations"
    known = set(ask(platform_of_before, statement))
    assert len(known) == 23
    for url in (platform_of_before, empty_url):
        migrate(url)
        assert known < set(ask(url, statement))


def test_a_database_too_old_to_be_taken_over_is_refused_saying_what_comes_first(platform_of_before):
    ask(platform_of_before, "DELETE FROM schema_migrations WHERE version >= '0025'")
    things = sorted(ask(platform_of_before, THINGS))
    first = r"0025_\w+, 0026_\w+ were not applied\): update to version 0\.1\.0 as of \w+ first"
    with pytest.raises(Refused, match=first):
        migrate(platform_of_before)
    assert sorted(ask(platform_of_before, THINGS)) == things
    assert ask(platform_of_before, "SELECT to_regclass('schema_functions')") == [(None,)]


def test_a_database_whose_files_were_others_is_refused(platform_of_before):
    ask(platform_of_before, "UPDATE schema_migrations SET checksum = 'edited' WHERE version = '0002_jobs'")
    with pytest.raises(Refused, match="0002_jobs was edited"):
        migrate(platform_of_before)


@pytest.mark.parametrize("url", ["platform_of_before", "empty_url"])
def test_processes_that_start_at_once_migrate_once(url, request):
    named = request.getfixturevalue(url)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(migrate, [named] * 4))
    assert sorted(done) == [[], [], [], NEWEST]


def test_changed_functions_are_applied_anew_in_place(platform_url, newer):
    ask(platform_url, "CREATE FUNCTION gone_tomorrow() RETURNS void LANGUAGE sql AS ''")
    things = dict(thing[:2] for thing in ask(platform_url, THINGS))
    text = engine_text().replace("'{0.005,", "'{0.001,0.005,")
    newer(f"{text}\nDROP FUNCTION IF EXISTS gone_tomorrow();\n", 1)
    assert migrate(platform_url) == [f"engine@{number(platform_url)}"]
    assert ask(platform_url, "SELECT (history_bounds())[1]") == [(0.001,)]
    things.pop("function gone_tomorrow()")
    assert dict(thing[:2] for thing in ask(platform_url, THINGS)) == things
    assert migrate(platform_url) == []


def test_a_program_leaves_newer_functions_alone(platform_url, newer):
    old = dict(repeatables.FILES["platform"])
    newer(engine_text().replace("'{0.005,", "'{0.001,0.005,"), 1)
    migrate(platform_url)
    newest = number(platform_url)
    newer(old["engine"].read_text(), 0)
    assert migrate(platform_url) == []
    assert ask(platform_url, "SELECT (history_bounds())[1]") == [(0.001,)]
    assert number(platform_url) == newest


def test_edited_functions_whose_number_was_not_raised_are_refused(platform_url, newer):
    newer(engine_text().replace("'{0.005,", "'{0.001,0.005,"), 0)
    with pytest.raises(Refused, match=r"functions of engine were edited .* raise the number"):
        migrate(platform_url)


def test_functions_of_which_one_does_not_apply_are_not_applied_at_all(platform_url, newer):
    before, known = ask(platform_url, FUNCTIONS), number(platform_url)
    newer(engine_text().replace("'{0.005,", "'{0.001,0.005,") + "\nCREATE FUNCTION broken(nowhere) RETURNS;\n", 1)
    with pytest.raises(psycopg.errors.SyntaxError):
        migrate(platform_url)
    assert ask(platform_url, FUNCTIONS) == before
    assert number(platform_url) == known


@pytest.mark.parametrize("text", ["-- what it is\n-- after the tables\n", "-- number: 1\n"])
def test_a_file_of_functions_says_its_number_and_where_the_tables_come(text, newer):
    newer(text, 0)
    with pytest.raises(ValueError, match="engine"):
        repeatables.read_repeatables("platform")


def test_a_schema_up_to_a_version_has_no_functions_but_those_of_its_triggers(empty_url):
    assert migrate(empty_url, upto="0001_baseline") == ["0001_baseline"]
    names = {name.partition("(")[0] for name, *_ in ask(empty_url, FUNCTIONS)}
    assert names == {"audit_is_append_only", "jobs_have_ids_of_jobs", "jobs_take_their_history_along"}
    assert migrate(empty_url) == NEWEST[1:]


def test_no_function_is_defined_twice():
    files = [path for path in CHECKOUT.rglob("*.sql") if not str(path.relative_to(CHECKOUT)).startswith(".")]
    defined = Counter(chain.from_iterable(DEFINES.findall(path.read_text()) for path in files))
    assert {"take_job", "seal_audit", "auth.jwt"} <= defined.keys()
    assert {name for name, times in defined.items() if times > 1} == CHANGED_IN_THE_TEMPLATE


def test_functions_that_were_changed_have_another_number():
    """A new number is added above with its checksum; the one of an older number is never changed."""
    assert {
        one.version: one.checksum for one in repeatables.read_repeatables("platform")
    }.items() <= FUNCTIONS_BY_NUMBER.items()


def test_numbered_files_define_no_function():
    assert [one.version for one in migrations.read_migrations("platform") if DEFINES.search(one.text)] == []
