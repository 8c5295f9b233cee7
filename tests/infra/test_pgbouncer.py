"""PgBouncer as we run it: it serves exactly what is wanted, admits exactly whom it should, and fails nobody else."""

from __future__ import annotations

import os
import secrets
import stat
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.errors import Unavailable
from infra.pooler import pooler_files
from infra.pooler.console import open_console
from infra.pooler.pooler import PoolerEntry
from infra.secrets import secretfiles
from tests.fixtures.pooler import READER, WRITER, Traffic
from tests.fixtures.projects import drop, new_tenant
from tests.fixtures.servers import wait_until

pytestmark = pytest.mark.docker


@pytest.fixture
def pooler(pooled):
    return pooled.pooler


@pytest.fixture
def tenants(pooled):
    """Two projects that the pooler serves."""
    made = [new_tenant(pooled), new_tenant(pooled)]
    pooled.pooler.serve(lambda: [PoolerEntry(tenant.id, 5, 2) for tenant in made])
    yield made
    for tenant in made:
        drop(pooled, tenant.id)


def through(pooler, tenant, login, database=None, **options):
    """Log in to a database by the pooler."""
    uri = pooler.uri(database or tenant.id, login, tenant.passwords[login])
    return psycopg.connect(uri, autocommit=True, connect_timeout=5, **options)


def admin(pooled):
    password = secretfiles.current(pooled.settings.secrets_folder, "POOLER_ADMIN_PASSWORD")
    return open_console(pooled.settings.pooler_url, password)


def configuration(pgbouncer):
    return pgbouncer.home / "pgbouncer" / "pgbouncer.ini"


@contextmanager
def as_account(uid):
    """Be another account of this machine for a moment."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_each_login_of_a_project_reaches_its_database_and_the_others_do_not(pooler, tenants):
    one, _other = tenants
    for login in (one.roles.owner, one.roles.authenticator, one.roles.auth, one.roles.storage):
        with through(pooler, one, login) as session:
            row = session.execute("SELECT current_user, current_database()").fetchone()
        assert row == (login, one.id)
    with pytest.raises(psycopg.OperationalError, match="no such user"):
        through(pooler, one, one.roles.dump)


def test_a_project_login_is_refused_by_every_other_database(pooled, pooler, tenants):
    one, other = tenants
    platform = conninfo_to_dict(pooled.database.conninfo)["dbname"]
    through(pooler, one, one.roles.owner).close()
    for database in (other.id, platform, "pgbouncer", "postgres", "template1", "nobody"):
        for _again in range(2):
            with pytest.raises(psycopg.OperationalError, match="authentication failed"):
                through(pooler, one, one.roles.owner, database)


def test_nobody_comes_in_without_a_password(pooled, pooler, tenants, pgbouncer):
    one = tenants[0]
    known = conninfo_to_dict(pooled.database.conninfo)
    for user in (one.roles.owner, "launchdb_pooler", "launchdb_pooler_admin", "pgbouncer", str(known["user"])):
        for database in (one.id, str(known["dbname"]), "pgbouncer"):
            place = f"host=127.0.0.1 port={pgbouncer.port} user={user} dbname={database} password=x connect_timeout=5"
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(place)
    text = configuration(pgbouncer).read_text()
    assert "auth_type = scram-sha-256" in text
    assert "trust" not in text
    assert not any(line.startswith("*") for line in text.splitlines())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
def test_the_console_is_closed_to_the_account_of_project_containers_and_open_to_pgbouncers_own(pgbouncer, tenants):
    place = f"host={pgbouncer.home}/run/pgbouncer port={pgbouncer.port} user=pgbouncer dbname=pgbouncer"
    with as_account(WRITER), pytest.raises(psycopg.OperationalError, match=r"authentication failed|no password"):
        psycopg.connect(place)
    # Therefore PgBouncer has an account of its own: whoever shares it needs no password.
    with as_account(READER):
        psycopg.connect(place, autocommit=True).close()


def test_the_function_shows_project_logins_and_nobody_else(pooled, tenants):
    one = tenants[0]
    with psycopg.connect(pooled.database.conninfo, autocommit=True) as session:

        def shown(name):
            return session.execute("SELECT username FROM pgbouncer.get_auth(%s)", (name,)).fetchall()

        assert shown(one.roles.owner) == [(one.roles.owner,)]
        for name in ("postgres", "launchdb_pooler", "launchdb_platform", one.roles.dump, one.roles.anon, "%", ""):
            assert shown(name) == []
        owner = sql.Identifier(one.roles.owner)
        for change, back in (
            ("VALID UNTIL '2001-01-01'", "VALID UNTIL 'infinity'"),
            ("SUPERUSER", "NOSUPERUSER"),
            ("REPLICATION", "NOREPLICATION"),
            ("NOLOGIN", "LOGIN"),
        ):
            session.execute(sql.SQL("ALTER ROLE {} {}").format(owner, sql.SQL(change)))
            assert shown(one.roles.owner) == []
            session.execute(sql.SQL("ALTER ROLE {} {}").format(owner, sql.SQL(back)))
        (public,) = session.execute(
            "SELECT has_function_privilege('public', 'pgbouncer.get_auth(text)', 'execute')"
        ).fetchone()
        assert not public


def test_the_poolers_own_login_can_ask_and_do_nothing_else(pooled, tenants):
    password = secretfiles.current(pooled.settings.secrets_folder, "POOLER_AUTH_PASSWORD")
    own = make_conninfo(pooled.database.conninfo, user="launchdb_pooler", password=password, autocommit=None)
    with psycopg.connect(own, autocommit=True) as session:
        assert session.execute("SELECT * FROM pgbouncer.get_auth(%s)", (tenants[0].roles.auth,)).fetchone()
        for statement in ("SELECT * FROM projects", "SELECT * FROM pg_authid", "CREATE TABLE x ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
    for database in (tenants[0].id, "postgres"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(own, dbname=database)


def test_its_rights_and_password_are_put_right(pooled):
    with psycopg.connect(pooled.database.conninfo, autocommit=True) as session:
        session.execute("ALTER ROLE launchdb_pooler NOLOGIN SUPERUSER PASSWORD 'x'")
        session.execute("REVOKE EXECUTE ON FUNCTION pgbouncer.get_auth(text) FROM launchdb_pooler")
        pooled.pooler.prepare("test")
        row = session.execute("SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = 'launchdb_pooler'").fetchone()
    assert row == (True, False)
    pooled.pooler.serve(list)


def test_the_superuser_reaches_the_platform_database_through_it(pooled, pgbouncer):
    known = conninfo_to_dict(pooled.database.conninfo)
    uri = pooled.pooler.uri(known["dbname"], known["user"], known["password"])
    with psycopg.connect(uri) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_prepared_statements_go_through_the_pool(pooler, tenants):
    one = tenants[0]
    sessions = [through(pooler, one, one.roles.owner, prepare_threshold=0) for _ in range(12)]
    for turn in range(4):
        for number, session in enumerate(sessions):
            row = session.execute("SELECT %s::int + %s::int", (number, turn)).fetchone()
            assert row == (number + turn,)
    for session in sessions:
        session.close()


def test_clients_that_send_settings_at_the_start_come_in(pooler, tenants):
    one = tenants[0]
    options = {"options": "-c search_path=public -c statement_timeout=1s", "application_name": "psql"}
    with through(pooler, one, one.roles.owner, **options) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_pool_bounds_the_sessions_of_all_logins_of_a_project(pooled, pooler, tenants):
    one = tenants[0]
    pooler.serve(lambda: [PoolerEntry(one.id, 2, 1)])
    uris = [pooler.uri(one.id, login, one.passwords[login]) for login in (one.roles.owner, one.roles.authenticator)]
    with Traffic(uris, 400, clients=20) as load:
        time.sleep(1.5)
        with psycopg.connect(pooled.database.conninfo) as session:
            count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
            (most,) = session.execute(count, (one.id,)).fetchone()
    assert load.failures == []
    assert 1 <= most <= 3


def test_the_files_are_for_us_and_pgbouncers_group_alone(pgbouncer, tenants):
    folder = pgbouncer.home / "pgbouncer"
    for name in ("pgbouncer.ini", "userlist.txt"):
        found = (folder / name).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, WRITER, READER)
    text = (folder / "userlist.txt").read_text()
    assert text.startswith(";; Rendered whole on 20")
    assert '"postgres" "SCRAM-SHA-256$' in text
    assert "proj_" not in text


def is_served(pooler, wanted):
    """Have it be served; return whether that could be."""
    try:
        pooler.serve(lambda: wanted)
    except Unavailable:
        return False
    return True


def cut(text):
    return text[: len(text) // 2]


POISON = {
    "cut": cut,
    "empty": lambda _text: "",
    "garbage": lambda _text: "\0\1 garbage [\n",
    "a wrong value": lambda text: text.replace("pool_size=5", "pool_size=many", 1),
    "another size": lambda text: text.replace("pool_size=5", "pool_size=50", 1),
    "another setting": lambda text: text.replace("pool_mode = transaction", "pool_mode = session"),
    "a foreign entry": lambda text: text.replace("; whole:", "strange = host=127.0.0.1\n; whole:"),
    "an entry too few": lambda text: "".join(line for line in text.splitlines(True) if not line.startswith("proj_")),
    "nothing but the databases": lambda text: text[text.index("[databases]") :],
}


@pytest.mark.parametrize("damage", POISON)
def test_a_damaged_configuration_is_put_right_whether_it_was_taken_or_not(damage, pooled, pooler, tenants, pgbouncer):
    file = configuration(pgbouncer)
    wanted = [PoolerEntry(tenant.id, 5, 2) for tenant in sorted(tenants, key=lambda tenant: tenant.id)]
    good = file.read_text()
    for reload in (False, True):
        file.write_text(POISON[damage](good))
        if reload:
            with admin(pooled) as session:
                session.run_command("RELOAD")
        wait_until(lambda: is_served(pooler, wanted), 10)
        assert file.read_text() == good
        assert pooler.served() == wanted
        assert not pooler.serve(lambda: wanted), "the second look found nothing to do"
    assert all(not pooler_files.faults(path.read_text()) for path in file.parent.glob("*.backup-*"))


def test_a_wrong_mode_and_a_damaged_userlist_are_put_right(pooler, tenants, pgbouncer):
    wanted = [PoolerEntry(tenant.id, 5, 2) for tenant in tenants]
    users = pgbouncer.home / "pgbouncer" / "userlist.txt"
    before = users.read_text()
    configuration(pgbouncer).chmod(0o644)
    users.write_text("garbage")
    assert pooler.serve(lambda: wanted)
    assert stat.S_IMODE(configuration(pgbouncer).stat().st_mode) == 0o640
    # The first line has the date, and the last the digest of all.
    assert users.read_text().splitlines()[1:-1] == before.splitlines()[1:-1]


def test_the_last_five_good_configurations_are_kept(pooler, tenants, pgbouncer):
    for size in range(1, 9):
        pooler.serve(lambda size=size: [PoolerEntry(tenants[0].id, size, 2)])
    kept = sorted(pgbouncer.home.glob("pgbouncer/pgbouncer.ini.backup-*"))
    assert len(kept) == 5
    assert all(f"pool_size={size} reserve_pool_size=2" in path.read_text() for size, path in enumerate(kept, 4))
    assert kept[-1].read_text() == configuration(pgbouncer).read_text(), "the newest is what it serves"


def test_what_pgbouncer_does_not_take_is_put_back(pooler, tenants, pgbouncer):
    folder = pgbouncer.home / "pgbouncer"
    good = configuration(pgbouncer).read_text()
    os.chown(folder, WRITER, 0)  # PgBouncer may not read what is written now, and answers RELOAD with success
    folder.chmod(0o755)
    try:
        with pytest.raises(Unavailable, match="did not take"):
            pooler.serve(lambda: [PoolerEntry(tenants[0].id, 9, 2)])
        assert configuration(pgbouncer).read_text() == good
    finally:
        os.chown(folder, WRITER, READER)
        folder.chmod(0o2750)
    assert pooler.serve(lambda: [PoolerEntry(tenants[0].id, 9, 2)])
    assert [entry.pool_size for entry in pooler.served()] == [9]


def test_a_hundred_callers_at_once_lose_nothing(pooler):
    lock, ledger, failures = threading.Lock(), [], []

    def publish():
        try:
            with lock:
                ledger.append(PoolerEntry(f"proj_{secrets.token_hex(8)}", 5, 2))
            pooler.serve(lambda: list(ledger))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=publish) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert pooler.served() == sorted(ledger, key=lambda entry: entry.database)


def test_who_was_killed_before_the_rename_or_before_the_reload_leaves_it_to_the_next(pooler, tenants, pgbouncer):
    folder = pgbouncer.home / "pgbouncer"
    (folder / ".pgbouncer.ini.half").write_text("[databases]\nhalf")
    wanted = [PoolerEntry(tenants[0].id, 7, 2)]
    pooler.write(lambda: wanted)
    assert [entry.pool_size for entry in pooler.served()] == [5, 5], "it was told nothing yet"
    assert pooler.serve(lambda: wanted)
    assert pooler.served() == wanted
    assert list(folder.glob(".pgbouncer.ini.*")) == []


def test_a_pooler_that_is_away_is_unavailable_and_right_from_its_next_start_on(pooler, tenants, pgbouncer):
    pgbouncer.kill()
    try:
        wanted = [PoolerEntry(tenants[0].id, 7, 2)]
        with pytest.raises(Unavailable) as caught:
            pooler.serve(lambda: wanted)
        assert caught.value.dependency == "pooler"
    finally:
        pgbouncer.again()
    wait_until(pgbouncer.answers)
    assert pooler.served() == wanted
    assert not pooler.serve(lambda: wanted)


def test_changes_fail_no_request_of_others_and_cut_the_clients_of_what_is_removed(pooled, pooler, tenants):
    calm = [pooler.uri(t.id, login, t.passwords[login]) for t in tenants for login in (t.roles.owner, t.roles.auth)]
    removed = new_tenant(pooled)
    others = [PoolerEntry(tenant.id, 5, 2) for tenant in tenants]
    try:
        with Traffic(calm, 140) as kept, Traffic(calm, 60, fresh=True, clients=4) as coming:
            end, size = time.monotonic() + 10, 5
            while time.monotonic() < end:
                size = 3 + (size + 1) % 6
                changed = [PoolerEntry(others[0].database, size, 2), others[1]]
                pooler.serve(lambda changed=changed: [*changed, PoolerEntry(removed.id, 5, 2)])
                client = through(pooler, removed, removed.roles.owner)
                client.execute("SELECT 1")
                pooler.serve(lambda: others)
                wait_until(lambda client=client: is_cut(client), 5)
        assert kept.answered + coming.answered > 1000
        assert (kept.failures, coming.failures) == ([], [])
    finally:
        drop(pooled, removed.id)


def is_cut(client) -> bool:
    try:
        client.execute("SELECT 1")
    except psycopg.Error:
        return True
    return False


def test_a_database_is_renamed_while_its_clients_wait(pooled, pooler, tenants):
    one = tenants[0]
    uris = [pooler.uri(one.id, login, one.passwords[login]) for login in (one.roles.owner, one.roles.authenticator)]
    with Traffic(uris, 60, clients=6) as load, psycopg.connect(pooled.database.conninfo, autocommit=True) as session:
        time.sleep(0.5)
        pooler.release(one.id)
        assert [entry.paused for entry in pooler.served() if entry.database == one.id] == [True]
        for old, new in ((one.id, f"{one.id}_before"), (f"{one.id}_before", one.id)):
            session.execute(f'ALTER DATABASE "{old}" RENAME TO "{new}"')
        pooler.resume(one.id)
        time.sleep(0.5)
    assert load.failures == []


@pytest.mark.timing
def test_a_release_does_not_wait_for_a_transaction_without_end(pooler, tenants):
    one = tenants[0]
    with through(pooler, one, one.roles.owner) as client:
        client.execute("BEGIN")
        began = time.monotonic()
        pooler.release(one.id)
        assert time.monotonic() - began < 4
        assert pooler.served()[[entry.database for entry in pooler.served()].index(one.id)].paused
    pooler.resume(one.id)
    pooler.resume(one.id)
    pooler.release("nobody")
    through(pooler, one, one.roles.owner).close()


def test_passwords_change_under_fifty_busy_clients_and_none_fails(pooled, pooler, tenants):
    one = tenants[0]
    uris = [pooler.uri(one.id, login, one.passwords[login]) for login in (one.roles.owner, one.roles.authenticator)]
    made = {login: secrets.token_urlsafe(32) for login in one.roles.logins}
    logins = {login: made[login] for login in one.roles.logins if login != one.roles.dump}
    with Traffic(uris, 200, clients=50) as load:
        time.sleep(1)
        pooler.change_passwords(one.id, logins, lambda: pooled.databases.ensure_roles(one.roles, made, "test"))
        time.sleep(0.5)
    assert load.failures == []
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        through(pooler, one, one.roles.owner)
    one.passwords.update(made)
    through(pooler, one, one.roles.owner).close()


def test_sessions_are_opened_anew_and_no_client_fails(pooled, pooler, tenants):
    one = tenants[0]
    uris = [pooler.uri(one.id, login, one.passwords[login]) for login in (one.roles.owner, one.roles.authenticator)]

    def pids():
        with psycopg.connect(pooled.database.conninfo) as session:
            look = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
            return {pid for (pid,) in session.execute(look, (one.id,))}

    with Traffic(uris, 60, clients=6) as load:
        time.sleep(0.5)
        before = pids()
        pooler.reconnect(one.id)
        wait_until(lambda: pids() and not pids() & before, 5)
    assert load.failures == []


def test_the_md5_form_of_a_password_is_postgres_own(pooled):
    with psycopg.connect(pooled.database.conninfo) as session:
        (known,) = session.execute("SELECT 'md5' || md5('secretlaunchdb')").fetchone()
    assert pooler_files.md5_hash("launchdb", "secret") == known
