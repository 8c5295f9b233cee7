"""Migrations that owners send: applied once, in order, as themselves; what happened to each is never in doubt unsaid."""

from __future__ import annotations

import hashlib
import threading

import psycopg
import pytest

import jobs.kinds  # noqa: F401 - the kinds under test
from tests.app.test_bad_input import problem
from tests.app.test_projects import working
from tests.fixtures.projects import stored_tenant
from tests.jobs.conftest import wait_until

NOTES = "CREATE TABLE notes (id int PRIMARY KEY, body text);\nINSERT INTO notes VALUES (1, 'a'), (2, 'b');"
PLAIN = "-- launchdb: no-transaction\n"


@pytest.fixture
def project(owner, engine):
    """The id of an active project."""
    made = owner.project()["id"]
    engine.runner.drain()
    return made


@pytest.fixture
def send(owner, project):
    """Send a migration; give the answer."""

    def posted(version="1", sql=NOTES, name="notes", **more):
        body = {"version": version, "name": name, "sql": sql, **more}
        return owner.post(f"/api/projects/{project}/migrations", json=body)

    return posted


@pytest.fixture
def apply(send, engine, owner):
    """Send a migration and carry it out; give its job."""

    def applied(version="1", sql=NOTES, **more):
        answer = send(version, sql, **more)
        assert answer.status_code == 202, answer.text
        engine.runner.drain()
        return owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()

    return applied


@pytest.fixture
def database(infra, project):
    """The owner's session in the project."""
    tenant = stored_tenant(infra, project)
    with tenant.connect(tenant.roles.owner) as session:
        yield session


def listed(owner, project):
    return owner.get(f"/api/projects/{project}/migrations").json()


def states(owner, project):
    return {row["version"]: row["status"] for row in listed(owner, project)["migrations"]}


def events(town, job):
    rows = town.rows("SELECT data FROM job_events WHERE job_id = %s AND type = 'log' ORDER BY id", (job["id"],))
    return [row["data"]["message"] for row in rows]


def test_a_migration_is_applied_as_the_owner_and_recorded(owner, project, send, engine, database):
    answer = send()
    assert (answer.status_code, answer.json()["migration"]["status"]) == (202, "queued")
    assert answer.json()["job"]["kind"] == "project.migrate"
    engine.runner.drain()
    checksum = hashlib.sha256(NOTES.encode()).hexdigest()
    job = owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()
    assert (job["status"], job["result"]) == ("succeeded", {"projectId": project, "version": "1", "checksum": checksum})
    (row,) = listed(owner, project)["migrations"]
    assert (row["status"], row["checksum"], row["drift"]) == ("applied", checksum, None)
    assert row["appliedAt"]
    assert database.execute("SELECT count(*) FROM notes").fetchone() == (2,)
    assert (
        database.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'notes'").fetchone()[0].endswith("_owner")
    )
    record = database.execute("SELECT version, name, statements FROM supabase_migrations.schema_migrations").fetchall()
    assert record == [("1", "notes", [NOTES])]


def test_the_sql_is_in_no_row_of_a_job_nor_of_the_audit(apply, town):
    job = apply(sql=NOTES + "-- mark-of-this-test")
    text = (
        str(town.rows("SELECT * FROM jobs"))
        + str(town.rows("SELECT * FROM audit"))
        + str(town.rows("SELECT * FROM job_events"))
    )
    assert "mark-of-this-test" not in text
    assert job["status"] == "succeeded"


def test_the_same_again_is_applied_already_and_other_sql_is_refused(send, apply, engine, database):
    first = send()
    again = send()
    assert again.json()["job"]["id"] == first.json()["job"]["id"]
    assert "under way" in problem(send(sql="SELECT 1"), 409)["detail"]
    engine.runner.drain()
    again = send()
    assert (again.status_code, again.json()["job"], again.json()["migration"]["status"]) == (200, None, "applied")
    refused = problem(send(sql="SELECT 1"), 409)
    assert (refused["type"], refused["detail"]) == (
        "/problems/migration-conflict",
        "version 1 is applied, with other SQL",
    )
    assert database.execute("SELECT count(*) FROM notes").fetchone() == (2,)


def test_versions_go_upwards_as_numbers(send, apply):
    apply("9", "SELECT 9")
    apply("10", "SELECT 10")
    assert "comes before 10" in problem(send("8", "SELECT 8"), 409)["detail"]


def test_several_are_applied_in_the_order_in_which_they_were_sent(send, engine, owner, project, database):
    for number in range(1, 4):
        assert send(str(number), f"CREATE TABLE t{number} ();").status_code == 202
    engine.runner.drain()
    assert states(owner, project) == {"1": "applied", "2": "applied", "3": "applied"}


def test_a_failed_one_leaves_nothing_says_where_and_holds_back_those_behind_it(send, engine, owner, project, database):
    first = send("1", "CREATE TABLE a ();\nINSERT INTO b VALUES (1);").json()["job"]["id"]
    second = send("2", "CREATE TABLE c ();").json()["job"]["id"]
    engine.runner.drain()
    error = owner.get(f"/api/jobs/{first}").json()["error"]
    assert (error["sqlstate"], error["line"], error["retryable"]) == ("42P01", 2, False)
    assert 'relation "b" does not exist' in error["detail"]
    assert error["position"] == len("CREATE TABLE a ();\nINSERT INTO ") + 1
    assert owner.get(f"/api/jobs/{second}").json()["error"]["detail"] == "version 1, which comes before it, has failed"
    assert states(owner, project) == {"1": "failed", "2": "failed"}
    assert database.execute("SELECT to_regclass('a'), to_regclass('c')").fetchone() == (None, None)
    assert send("1", "CREATE TABLE b (id int);").status_code == 202
    assert send("2", "CREATE TABLE c ();").status_code == 202
    engine.runner.drain()
    assert states(owner, project) == {"1": "applied", "2": "applied"}
    assert problem(owner.post(f"/api/jobs/{first}/retry"), 409)["detail"].startswith("the migration was replaced")


def test_a_failed_one_is_tried_again_as_it_is_by_a_retry(apply, engine, owner, project, database):
    job = apply(sql="INSERT INTO later VALUES (1)")
    assert job["status"] == "failed"
    database.execute("CREATE TABLE later (id int)")
    assert owner.post(f"/api/jobs/{job['id']}/retry").status_code == 202
    engine.runner.drain()
    assert states(owner, project) == {"1": "applied"}
    assert database.execute("SELECT count(*) FROM later").fetchone() == (1,)


def test_what_it_says_and_how_many_rows_are_in_the_events(apply, town):
    job = apply(sql=NOTES + "DO $$ BEGIN RAISE NOTICE 'half way'; END $$; SELECT * FROM generate_series(1, 100000);")
    said = events(town, job)
    assert {"CREATE TABLE", "INSERT 0 2", "NOTICE: half way", "SELECT 100000"} <= set(said)


def test_a_talkative_one_is_cut_short(apply, town):
    job = apply(sql="DO $$ BEGIN FOR n IN 1..5000 LOOP RAISE NOTICE '%', repeat('x', 5000); END LOOP; END $$")
    said = events(town, job)
    assert job["status"] == "succeeded"
    assert len(said) < 250
    assert max(map(len, said)) <= 1000
    assert "it says more than is kept here" in said


@pytest.mark.parametrize(
    ("sql", "state"),
    [
        ("CREATE ROLE mighty SUPERUSER", "42501"),
        ("COPY notes TO PROGRAM 'id'", "42501"),
        ("SET SESSION AUTHORIZATION postgres", "42501"),
        ("SET ROLE anon", "42501"),
        ("UPDATE launchdb.schema_migrations SET checksum = ''", "42501"),
        ("SELECT pg_sleep(30)", "57014"),
        ("SET statement_timeout = 0; SELECT pg_sleep(30)", "57014"),
        ("DO $$ BEGIN PERFORM pg_sleep(30); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(30); END $$", "57014"),
        ("SELEC 1", "42601"),
        ("DEALLOCATE nope", "26000"),
        ("EXECUTE nope", "26000"),
        ("PREPARE read AS SELECT * FROM notes; ALTER TABLE notes ADD more text; EXECUTE read", "0A000"),
    ],
)
def test_what_it_may_not_do_is_refused_by_the_server(sql, state, apply, database, owner, project):
    database.execute("CREATE TABLE notes (id int)")
    # Shorter than the lease of an engine without beats.
    job = apply(sql=sql, timeoutMs=200)
    assert (job["status"], job["error"]["sqlstate"]) == ("failed", state)
    assert (job["error"]["retryable"], job["attempt"]) == (False, 1)
    assert states(owner, project) == {"1": "failed"}


def test_a_copy_from_a_client_that_is_not_there_fails(apply, database, owner, project):
    database.execute("CREATE TABLE notes (id int)")
    job = apply(sql="COPY notes FROM STDIN;\n1\n\\.\n")
    assert job["status"] == "failed"
    assert states(owner, project) == {"1": "failed"}


@pytest.mark.parametrize("sql", ["CREATE TABLE a (); COMMIT; SELECT 1", "CREATE TABLE a (); COMMIT; BEGIN; SELECT 1"])
def test_one_that_ends_its_transaction_is_found_out(sql, apply, send, owner, project, database):
    job = apply(sql=sql)
    assert job["status"] == "failed"
    assert "ended the transaction" in job["error"]["detail"]
    assert states(owner, project) == {"1": "doubtful"}
    assert "may be half applied" in problem(send(sql=sql), 409)["detail"]
    assert database.execute("SELECT to_regclass('supabase_migrations.schema_migrations')").fetchone() == (None,)


def test_one_outside_a_transaction_runs_statement_by_statement(apply, owner, project, database):
    apply()
    sql = PLAIN + "CREATE INDEX CONCURRENTLY one ON notes (body); CREATE INDEX CONCURRENTLY two ON notes (body, id);"
    assert apply("2", sql)["status"] == "succeeded"
    assert states(owner, project)["2"] == "applied"
    assert database.execute("SELECT count(*) FROM pg_indexes WHERE indexname IN ('one', 'two')").fetchone() == (2,)
    in_one = apply("3", "CREATE INDEX CONCURRENTLY three ON notes (body)")
    assert in_one["error"]["sqlstate"] == "25001"


def test_names_that_are_key_words_fuse_no_statements_outside_a_transaction(apply, database):
    sql = (
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1'; VACUUM;\n"
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT begin(); END; VACUUM;"
    )
    job = apply(sql=PLAIN + sql)
    assert (job["status"], job["error"]) == ("succeeded", None)
    assert database.execute("SELECT begin(), f()").fetchone() == (1, 1)


def test_one_that_stops_in_its_middle_outside_a_transaction_goes_on_only_when_asked_so(
    apply, send, owner, project, engine
):
    sql = PLAIN + "CREATE TABLE IF NOT EXISTS a ();\nINSERT INTO b VALUES (1);"
    job = apply(sql=sql)
    assert job["status"] == "failed"
    assert "may be half applied" in job["error"]["detail"]
    assert (job["error"]["sqlstate"], job["error"]["statement"], job["error"]["line"]) == ("42P01", 2, 3)
    assert states(owner, project) == {"1": "doubtful"}
    assert "may be half applied" in problem(send(sql=sql), 409)["detail"]
    assert "may be half applied" in problem(owner.post(f"/api/jobs/{job['id']}/retry"), 409)["detail"]
    again = PLAIN + "CREATE TABLE IF NOT EXISTS a ();\nCREATE TABLE b (id int);"
    assert apply(sql=again, rerun=True)["status"] == "succeeded"
    assert states(owner, project) == {"1": "applied"}


def test_a_cancelled_one_is_rolled_back(send, engine, owner, project, database):
    job = send(sql="CREATE TABLE a (); SELECT pg_sleep(60);").json()["job"]["id"]
    running = threading.Thread(target=engine.runner.drain)
    running.start()
    at_work = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
    wait_until(lambda: database.execute(at_work).fetchone()[0] > 0, 20)
    assert owner.post(f"/api/jobs/{job}/cancel").status_code == 202
    running.join(20)
    assert owner.get(f"/api/jobs/{job}").json()["status"] == "cancelled"
    assert states(owner, project) == {"1": "failed"}
    assert database.execute("SELECT to_regclass('a')").fetchone() == (None,)


def test_a_record_that_the_owner_changes_is_noticed_and_believed_by_nobody(apply, send, owner, project, database):
    apply()
    apply("2", "SELECT 2")
    database.execute("UPDATE supabase_migrations.schema_migrations SET statements = '{lie}' WHERE version = '1'")
    database.execute("DELETE FROM supabase_migrations.schema_migrations WHERE version = '2'")
    database.execute("INSERT INTO supabase_migrations.schema_migrations (version) VALUES ('7')")
    found = listed(owner, project)
    assert [row["drift"] for row in found["migrations"]] == [
        "the database has a record of it with other SQL",
        "the database has no record of it",
    ]
    assert (found["driftChecked"], found["unknown"]) == (True, ["7"])
    assert send().status_code == 200, "what the platform knows counts"
    job = apply("7", "SELECT 7")
    assert "has a record of version 7 already" in job["error"]["detail"]


def test_a_trap_in_place_of_the_records_holds_nobody_up(apply, owner, project, database):
    apply()
    database.execute("DROP TABLE supabase_migrations.schema_migrations")
    database.execute(
        "CREATE VIEW supabase_migrations.schema_migrations AS"
        " SELECT '1'::text AS version, ARRAY[pg_sleep(60)::text] AS statements, '' AS name"
    )
    found = listed(owner, project)
    assert found["driftChecked"] is False
    assert [row["status"] for row in found["migrations"]] == ["applied"]


def test_only_an_active_project_takes_one(send, owner, project, engine):
    pause = owner.post(f"/api/projects/{project}/pause", json={}).json()["job"]["id"]
    assert pause in problem(send(), 409)["detail"]
    engine.runner.drain()
    assert problem(send(), 409)["detail"] == "the project is paused"
    assert listed(owner, project) == {"migrations": [], "driftChecked": False, "unknown": []}


def test_who_prefers_to_wait_gets_the_end(owner, project, engine):
    with working(engine):
        answer = owner.post(
            f"/api/projects/{project}/migrations",
            json={"version": "1", "name": "notes", "sql": NOTES},
            headers={"Prefer": "wait=30"},
        )
    assert (answer.status_code, answer.json()["migration"]["status"]) == (200, "applied")


def test_bad_input_is_named(send, owner, project, town):
    for version in ("", "a", "1.0", "-1", " 1", "1\n", "１", "1" * 21, None, 1):
        assert problem(send(version), 422)["errors"][0]["pointer"] == "/version"
    for sql in ("", "  \n", "SELECT '\0'", "x" * 500_001, None, 1):
        assert problem(send(sql=sql), 422)["errors"][0]["pointer"] == "/sql"
    for timeout in (0, 99, 3_600_001, "1", 1.5):
        assert problem(send(timeoutMs=timeout), 422)["errors"][0]["pointer"] == "/timeoutMs"
    for name in ("", "a\nb", "x" * 101):
        assert problem(send(name=name), 422)["errors"][0]["pointer"] == "/name"
    assert town.rows("SELECT FROM owner_migrations") == []


def test_a_project_of_somebody_else_is_not_there(project, town):
    body = {"version": "1", "name": "x", "sql": "SELECT 1"}
    for who, status in ((town.owner(), 404), (town.stranger(), 401)):
        problem(who.post(f"/api/projects/{project}/migrations", json=body), status)
        problem(who.get(f"/api/projects/{project}/migrations"), status)


@pytest.mark.gpg
def test_a_deleted_projects_sql_is_forgotten(apply, owner, project, engine, town):
    apply()
    owner.delete(f"/api/projects/{project}")
    engine.runner.drain()
    assert town.rows("SELECT FROM owner_migrations") == []


def test_no_login_of_ours_is_left_behind(apply, database):
    apply()
    with pytest.raises(psycopg.errors.UndefinedTable):
        database.execute("SELECT * FROM nothing")
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'launchdb:%' AND datname = current_database()"
    assert database.execute(left).fetchone() == (0,)
