"""Policies and grants that name anon, authenticated and service_role apply to each project's own roles."""

from __future__ import annotations

import json
import uuid

import pytest
from psycopg import errors, sql


@pytest.fixture
def notes(alice):
    """A table of the owner's, with policies as users write them."""
    with alice.connect(alice.roles.owner) as owner:
        owner.execute(
            "DROP TABLE IF EXISTS notes;"
            "CREATE TABLE notes (id int PRIMARY KEY, author uuid DEFAULT auth.uid(), body text, public boolean);"
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY everybody ON notes FOR SELECT TO anon USING (public);"
            "CREATE POLICY own ON notes TO authenticated USING (author = auth.uid()) WITH CHECK (author = auth.uid());"
            "INSERT INTO notes VALUES (1, NULL, 'open', true), (2, NULL, 'hidden', false)"
        )
    return alice


def as_role(tenant, session, role, claims=None):
    session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(getattr(tenant.roles, role))))
    session.execute("SELECT set_config('request.jwt.claims', %s, true)", (json.dumps(claims) if claims else "",))


def bodies(session):
    return [row[0] for row in session.execute("SELECT body FROM notes ORDER BY id")]


def test_each_role_sees_what_the_policies_grant_its_namesake(notes):
    user = str(uuid.uuid4())
    with notes.connect(notes.roles.authenticator) as api:
        with api.transaction():
            as_role(notes, api, "anon")
            assert bodies(api) == ["open"]
        with api.transaction():
            as_role(notes, api, "authenticated", {"sub": user, "role": "authenticated"})
            api.execute("INSERT INTO notes (id, body) VALUES (3, 'mine')")
            assert bodies(api) == ["mine"]
        with api.transaction():
            as_role(notes, api, "authenticated", {"sub": str(uuid.uuid4())})
            assert bodies(api) == []
        with api.transaction():
            as_role(notes, api, "service")
            assert bodies(api) == ["open", "hidden", "mine"]


def test_the_authenticator_by_itself_sees_nothing(notes):
    with notes.connect(notes.roles.authenticator) as api, pytest.raises(errors.InsufficientPrivilege):
        bodies(api)
        pytest.fail("Whoever the data API logs in as may do nothing before a request's role is set")


def test_a_grant_taken_from_anon_binds_the_projects_anon(notes):
    with notes.connect(notes.roles.owner) as owner:
        owner.execute("REVOKE ALL ON notes FROM anon")
    with notes.connect(notes.roles.authenticator) as api, api.transaction():
        as_role(notes, api, "anon")
        with pytest.raises(errors.InsufficientPrivilege):
            bodies(api)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service"])
def test_no_request_reads_password_hashes_or_tokens(alice, role):
    with alice.connect(alice.roles.authenticator) as api:
        for table in ("users", "identities", "sessions", "refresh_tokens", "one_time_tokens"):
            with pytest.raises(errors.InsufficientPrivilege), api.transaction():
                as_role(alice, api, role)
                api.execute(f"SELECT * FROM auth.{table}")


def test_claims_are_read_null_safely(alice):
    question = "SELECT auth.uid(), auth.role(), auth.email(), auth.jwt() ->> 'x'"
    user = uuid.uuid4()
    with alice.connect(alice.roles.authenticator) as api:
        for claims, answer in (
            (None, (None, None, None, None)),
            ({}, (None, None, None, None)),
            ({"sub": str(user), "role": "r", "email": "e@x", "x": "1"}, (user, "r", "e@x", "1")),
        ):
            with api.transaction():
                as_role(alice, api, "anon", claims)
                assert api.execute(question).fetchone() == answer
        with api.transaction():
            as_role(alice, api, "anon")
            api.execute("SELECT set_config('request.jwt.claim.sub', %s, true)", (str(user),))
            assert api.execute(question).fetchone() == (user, None, None, None)


def test_the_owner_references_users_and_hangs_triggers_on_them(alice):
    with alice.connect(alice.roles.owner) as owner:
        owner.execute(
            "CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, name text);"
            "CREATE FUNCTION new_profile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS"
            " $$ BEGIN INSERT INTO profiles VALUES (NEW.id, NEW.raw_user_meta_data ->> 'name'); RETURN NEW; END $$;"
            "CREATE TRIGGER on_new_user AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION new_profile()"
        )
    with alice.connect(alice.roles.auth) as auth:
        auth.execute("INSERT INTO auth.users (email, raw_user_meta_data) VALUES ('a@b.c', '{\"name\": \"Ann\"}')")
    with alice.connect(alice.roles.owner) as owner:
        assert owner.execute("SELECT name FROM profiles").fetchall() == [("Ann",)]
    with alice.connect(alice.roles.auth) as auth:
        auth.execute("DELETE FROM auth.users")
    with alice.connect(alice.roles.owner) as owner:
        assert owner.execute("SELECT count(*) FROM profiles").fetchone() == (0,)


def test_storage_lets_policies_of_the_owner_decide_as_the_caller(alice):
    with alice.connect(alice.roles.storage) as storage:
        storage.execute("INSERT INTO storage.buckets (id, name) VALUES ('docs', 'docs') ON CONFLICT DO NOTHING")
        with pytest.raises(errors.InsufficientPrivilege), storage.transaction():
            as_role(alice, storage, "anon")
            storage.execute("INSERT INTO storage.objects (bucket_id, name) VALUES ('docs', 'a/b.txt')")
    with alice.connect(alice.roles.owner) as owner:
        owner.execute("CREATE POLICY put ON storage.objects FOR INSERT TO anon WITH CHECK (bucket_id = 'docs')")
    with alice.connect(alice.roles.storage) as storage, storage.transaction():
        as_role(alice, storage, "anon")
        storage.execute("INSERT INTO storage.objects (bucket_id, name) VALUES ('docs', 'a/b.txt')")
    with alice.connect(alice.roles.storage) as storage:
        assert storage.execute(
            "SELECT storage.foldername(name), storage.filename(name), storage.extension(name), path_tokens"
            "  FROM storage.objects"
        ).fetchone() == (["a"], "b.txt", "txt", ["a", "b.txt"])


@pytest.mark.parametrize("role", ["anon", "authenticated", "service"])
def test_no_request_gets_past_row_security_by_a_truncate_or_a_trigger(alice, role):
    with alice.connect(alice.roles.authenticator) as api:
        for statement in (
            "TRUNCATE storage.objects",
            "CREATE TRIGGER mine BEFORE INSERT ON storage.objects EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "ALTER TABLE storage.objects DISABLE ROW LEVEL SECURITY",
            "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ):
            with pytest.raises(errors.InsufficientPrivilege), api.transaction():
                as_role(alice, api, role)
                api.execute(statement)
                pytest.fail(f"No request gets past row security by a TRUNCATE or a trigger: {statement}")


def test_a_backup_reads_past_forced_row_security_and_writes_nothing(notes):
    with notes.connect(notes.roles.owner) as owner:
        owner.execute("ALTER TABLE notes FORCE ROW LEVEL SECURITY")
    with notes.connect(notes.roles.dump) as dump:
        assert bodies(dump)[:2] == ["open", "hidden"]
        assert dump.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)
        with pytest.raises(errors.ReadOnlySqlTransaction):
            dump.execute("DELETE FROM notes")


def test_the_owner_creates_schemas_and_trusted_extensions(alice):
    with alice.connect(alice.roles.owner) as owner:
        owner.execute("CREATE SCHEMA mine")
        owner.execute("CREATE EXTENSION pgcrypto WITH SCHEMA extensions")
        assert owner.execute("SELECT length(gen_salt('bf'))").fetchone() == (29,)


def test_functions_and_sequences_of_the_owner_are_open_to_requests(alice):
    with alice.connect(alice.roles.owner) as owner:
        owner.execute("CREATE TABLE counted (id serial PRIMARY KEY)")
        owner.execute("CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42'")
    with alice.connect(alice.roles.authenticator) as api, api.transaction():
        as_role(alice, api, "anon")
        assert api.execute("INSERT INTO counted DEFAULT VALUES RETURNING id").fetchone() == (1,)
        assert api.execute("SELECT answer()").fetchone() == (42,)


def test_a_deadlock_free_pair_of_schema_changes_is_never_lost(alice):
    """Two open transactions change the schema; each raises the stamp when it commits, in either order."""
    first, second = alice.connect(alice.roles.owner), alice.connect(alice.roles.owner)
    reader = alice.connect(alice.roles.authenticator)

    def stamp():
        return reader.execute("SELECT launchdb.schema_stamp()").fetchone()[0]

    try:
        start = stamp()
        for session, table in ((first, "one"), (second, "two")):
            session.execute("BEGIN")
            session.execute("SET LOCAL lock_timeout = '2s'")
            session.execute(f"CREATE TABLE {table} ()")
        assert stamp() == start
        second.execute("COMMIT")
        assert stamp() == start + 1
        first.execute("COMMIT")
        assert stamp() == start + 2
        first.execute("CREATE TEMP TABLE nobody_else_cares ()")
        first.execute("DROP TABLE nobody_else_cares")
        assert stamp() == start + 2
        first.execute("DROP TABLE one")
        assert stamp() == start + 3
    finally:
        for session in (first, second, reader):
            session.close()


def test_whoever_listens_hears_of_a_schema_change(alice):
    with alice.connect(alice.roles.authenticator) as listener, alice.connect(alice.roles.owner) as owner:
        listener.execute("LISTEN pgrst")
        owner.execute("CREATE TABLE heard ()")
        notes = list(listener.notifies(timeout=5, stop_after=1))
    assert [(note.channel, note.payload) for note in notes] == [("pgrst", "reload schema")]
