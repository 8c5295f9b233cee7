"""An owner who lays traps in their own auth schema: they get their own rights from it, and other requests go on.

What an owner may do there they may do themselves: the traps run as the project's Auth login, which the owner inherits.
"""

from __future__ import annotations

import pytest

from tests.app.auth.people import joined, new_email, refresh, refused, sign_in, sign_up

# What a trap tries with the rights it runs with: each has to fail, or to be nothing but what the owner may anyway.
CLIMBS = [
    "CREATE ROLE climbed SUPERUSER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "SET ROLE {service}",
    "SET ROLE {authenticator}",
    "SET SESSION AUTHORIZATION postgres",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
    "CREATE EXTENSION plpython3u",
    "ALTER SYSTEM SET fsync = off",
    "DROP SCHEMA launchdb CASCADE",
    "CREATE EVENT TRIGGER climbed ON ddl_command_end EXECUTE FUNCTION launchdb.schema_changed()",
]
# What a trap leaves in the session for whoever comes next.
LEFT = [
    "PERFORM set_config('search_path', 'public', false)",
    "PERFORM set_config('role', 'none', false)",
    "PERFORM set_config('default_transaction_read_only', 'on', false)",
    "PERFORM set_config('statement_timeout', '1', false)",
    "PERFORM set_config('lock_timeout', '1', false)",
    "PERFORM set_config('datestyle', 'German', false)",
    "PERFORM set_config('timezone', 'Asia/Kolkata', false)",
    "PERFORM set_config('request.jwt.claims', '{\"sub\":\"x\"}', false)",
    "CREATE TEMP TABLE IF NOT EXISTS users (id int)",
    "LISTEN traps",
    "PERFORM pg_advisory_xact_lock(1)",
    "EXECUTE 'PREPARE trap AS SELECT 1'",
    "EXECUTE 'ALTER ROLE ' || quote_ident(session_user) || ' SET search_path = public'",
    "EXECUTE 'ALTER ROLE ' || quote_ident(session_user) || ' SET default_transaction_read_only = on'",
]


@pytest.fixture
def owner(auth):
    """The owner's own session; what was laid is taken away afterwards."""
    with auth.tenant.connect(auth.tenant.roles.owner) as connection:
        yield connection
        connection.execute("DROP SCHEMA IF EXISTS trap CASCADE")
    with auth.tenant.as_admin() as admin:
        admin.execute(f"ALTER ROLE {auth.tenant.roles.auth} RESET ALL")


@pytest.fixture(scope="module")
def person(world):
    """Somebody who stays."""
    return joined(world)


def created(auth, **attributes):
    """A user made by the service key: a row of each table, and no password to be hashed."""
    return auth.admin("POST", "/admin/users", {"email": new_email(), **attributes})


def lay(owner, body, *, when="BEFORE INSERT OR UPDATE", table="auth.users"):
    owner.execute("CREATE SCHEMA IF NOT EXISTS trap")
    owner.execute("GRANT ALL ON SCHEMA trap TO PUBLIC")
    owner.execute("CREATE TABLE IF NOT EXISTS trap.caught (who text, login text, said text)")
    owner.execute("GRANT ALL ON trap.caught TO PUBLIC")
    owner.execute(
        f"CREATE OR REPLACE FUNCTION trap.spring() RETURNS trigger LANGUAGE plpgsql AS $trap$ BEGIN {body}; RETURN NEW; END $trap$"
    )
    owner.execute(f"CREATE TRIGGER trap {when} ON {table} FOR EACH ROW EXECUTE FUNCTION trap.spring()")


@pytest.mark.parametrize("climb", CLIMBS)
def test_a_trigger_gets_no_more_than_the_owners_rights(auth, owner, climb):
    roles = auth.tenant.roles
    tried = climb.format(service=roles.service, authenticator=roles.authenticator).replace("'", "''")
    lay(
        owner,
        f"""BEGIN EXECUTE '{tried}'; INSERT INTO trap.caught VALUES (current_user, session_user, 'climbed');
            EXCEPTION WHEN OTHERS THEN INSERT INTO trap.caught VALUES (current_user, session_user, SQLSTATE); END""",
    )
    assert created(auth).status_code == 200
    caught = owner.execute("SELECT DISTINCT who, login, said FROM trap.caught").fetchall()
    assert {(who, login) for who, login, _ in caught} == {(roles.auth, roles.auth)}
    assert all(said.startswith(("42", "0A", "22", "25", "3F", "2B")) for _, _, said in caught), caught


@pytest.mark.parametrize("left", LEFT)
def test_what_a_trigger_leaves_in_the_session_is_nobody_elses(auth, owner, person, left):
    lay(owner, left)
    for _ in range(3):
        created(auth)
    owner.execute("DROP SCHEMA trap CASCADE")
    for _ in range(3):
        answer = person.get()
        assert answer.status_code == 200, answer.text
        assert answer.json["created_at"].endswith("Z")
        assert refresh(auth, person.refresh_token).status_code == 200
        assert created(auth).status_code == 200


def test_a_trigger_that_refuses_is_a_failure_that_says_nothing_and_leaves_nothing(auth, owner, email):
    lay(owner, "RAISE EXCEPTION 'secret of the owner' USING HINT = 'hint', DETAIL = 'detail'")
    answer = created(auth, email=email)
    assert refused(answer) == (500, "unexpected_failure")
    assert "secret" not in answer.text
    assert auth.rows("SELECT FROM auth.users WHERE email = %s", (email,)) == []
    owner.execute("DROP SCHEMA trap CASCADE")
    assert created(auth, email=email).status_code == 200


def test_a_trigger_that_refuses_at_the_commit_leaves_nothing_either(auth, owner, email):
    lay(owner, "RAISE EXCEPTION 'late'", when="AFTER INSERT")
    owner.execute("DROP TRIGGER trap ON auth.users")
    owner.execute(
        "CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON auth.users DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION trap.spring()"
    )
    assert refused(sign_up(auth, email)) == (500, "unexpected_failure")
    assert auth.rows("SELECT FROM auth.users WHERE email = %s", (email,)) == []


def test_an_owners_profile_of_each_new_user_is_made_with_them(auth, owner):
    owner.execute("CREATE SCHEMA trap")
    owner.execute("GRANT ALL ON SCHEMA trap TO PUBLIC")
    owner.execute("CREATE TABLE trap.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, name text)")
    owner.execute(
        "CREATE FUNCTION trap.profile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS"
        " $$ BEGIN INSERT INTO trap.profiles VALUES (NEW.id, NEW.raw_user_meta_data ->> 'name'); RETURN NEW; END $$"
    )
    owner.execute("CREATE TRIGGER profile AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION trap.profile()")
    person = joined(auth, data={"name": "Ada"})
    assert owner.execute("SELECT name FROM trap.profiles WHERE id = %s", (person.id,)).fetchall() == [("Ada",)]
    assert auth.admin("DELETE", f"/admin/users/{person.id}").status_code == 200
    assert owner.execute("SELECT count(*) FROM trap.profiles").fetchone() == (0,)


def test_names_like_ours_in_other_schemas_and_of_operators_are_not_ours(auth, owner, person):
    owner.execute("CREATE VIEW public.users AS SELECT 'view'::text AS email")
    owner.execute(
        "CREATE FUNCTION public.trap(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;"
        "CREATE OPERATOR public.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = public.trap);"
        "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;"
        "CREATE FUNCTION public.to_jsonb(record) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$"
    )
    with auth.tenant.as_admin() as admin:
        admin.execute(f"ALTER ROLE {auth.tenant.roles.auth} SET search_path = public, pg_catalog")
    auth.projects.release(auth.id)
    try:
        assert person.get().status_code == 200
        assert refresh(auth, person.refresh_token).status_code == 200
        assert sign_in(auth, person.email).status_code == 200
        assert auth.admin("GET", "/admin/users").status_code == 200
    finally:
        owner.execute(
            "DROP VIEW public.users; DROP OPERATOR public.= (uuid, uuid); DROP FUNCTION public.trap(uuid, uuid), public.now(),"
            " public.to_jsonb(record)"
        )


@pytest.mark.parametrize(
    "trap",
    [
        (
            "ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY; ALTER TABLE auth.users FORCE ROW LEVEL SECURITY;"
            " CREATE POLICY trap ON auth.users USING (trap.policy())"
        ),
        "ALTER TABLE auth.users ADD CONSTRAINT trap CHECK (trap.policy()) NOT VALID",
        "ALTER TABLE auth.users ADD COLUMN trap text DEFAULT trap.policy()::text",
        "CREATE INDEX trap ON auth.users (trap.indexed(email))",
        "CREATE RULE trap AS ON UPDATE TO auth.users DO ALSO SELECT trap.policy()",
        (
            "CREATE TYPE trap.odd AS (said text); CREATE FUNCTION trap.odd(text) RETURNS trap.odd LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM trap.policy(); RETURN ROW($1); END $$;"
            " CREATE CAST (text AS trap.odd) WITH FUNCTION trap.odd(text) AS IMPLICIT;"
            " ALTER TABLE auth.users ADD COLUMN trap trap.odd DEFAULT 'x'::text"
        ),
    ],
    ids=["policy", "check", "default", "index", "rule", "cast"],
)
def test_functions_wherever_they_are_called_run_as_the_auth_login(auth, owner, person, trap):
    owner.execute("CREATE SCHEMA trap; GRANT ALL ON SCHEMA trap TO PUBLIC; CREATE TABLE trap.caught (who text)")
    owner.execute("GRANT ALL ON trap.caught TO PUBLIC")
    owner.execute(
        "CREATE FUNCTION trap.policy() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('search_path', 'trap', false); INSERT INTO trap.caught VALUES (current_user); RETURN true;"
        " END $$; CREATE FUNCTION trap.indexed(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS"
        " $$ BEGIN RETURN trap.policy(); END $$"
    )
    try:
        owner.execute(trap)
        owner.execute("TRUNCATE trap.caught")
        answers = [created(auth), sign_in(auth, person.email), person.get(), refresh(auth, person.refresh_token)]
        assert all(answer.is_json for answer in answers)
        assert {who for (who,) in owner.execute("SELECT who FROM trap.caught").fetchall()} <= {auth.tenant.roles.auth}
    finally:
        owner.execute(
            "DROP SCHEMA trap CASCADE; ALTER TABLE auth.users DROP COLUMN IF EXISTS trap;"
            " ALTER TABLE auth.users NO FORCE ROW LEVEL SECURITY; ALTER TABLE auth.users DISABLE ROW LEVEL SECURITY"
        )
    assert person.get().status_code == 200
    assert created(auth).status_code == 200


def test_a_view_in_the_place_of_a_table_of_ours_runs_as_the_auth_login(auth, owner, person):
    owner.execute("CREATE SCHEMA trap; GRANT ALL ON SCHEMA trap TO PUBLIC; CREATE TABLE trap.caught (who text)")
    owner.execute("GRANT ALL ON trap.caught TO PUBLIC")
    owner.execute(
        "CREATE FUNCTION trap.seen() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO trap.caught VALUES (current_user); RETURN true; END $$"
    )
    owner.execute("ALTER TABLE auth.identities RENAME TO kept")
    try:
        owner.execute("CREATE VIEW auth.identities AS SELECT * FROM auth.kept WHERE trap.seen()")
        owner.execute(f"GRANT ALL ON auth.identities TO {auth.tenant.roles.auth}")
        assert all(answer.is_json for answer in (person.get(), refresh(auth, person.refresh_token), created(auth)))
        assert owner.execute("SELECT DISTINCT who FROM trap.caught").fetchall() == [(auth.tenant.roles.auth,)]
    finally:
        owner.execute("DROP VIEW IF EXISTS auth.identities; ALTER TABLE auth.kept RENAME TO identities")
    assert person.get().status_code == 200


def test_a_table_of_ours_that_is_gone_is_a_failure_of_that_project_alone(auth, owner, person):
    owner.execute("ALTER TABLE auth.sessions RENAME TO elsewhere")
    try:
        assert refused(person.get()) == (500, "unexpected_failure")
        assert auth.call("GET", "/settings").status_code == 200
    finally:
        owner.execute("ALTER TABLE auth.elsewhere RENAME TO sessions")
    assert person.get().status_code == 200
    assert auth.admin("POST", "/admin/users", {"email": new_email()}).status_code == 200
