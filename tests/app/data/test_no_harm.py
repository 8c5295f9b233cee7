"""A failing request never harms another one: whatever Postgres answers, every good request is answered as if alone."""

from __future__ import annotations

import itertools
import shutil
import signal
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.data.run import prepared as prepared_statements
from app.data.run.prepared import WORTH
from infra.pooler.console import open_console
from tests.app.data.harm import FAILING, Place, ask, carried_out, side_by_side
from tests.fixtures.pooler import docker, free_port, image
from tests.fixtures.servers import wait_until

NUMBERS = st.integers(0, 98)
PLAIN = st.tuples(st.sampled_from(["good", "good", "fails"]), NUMBERS)
ANY = st.one_of(PLAIN, st.tuples(st.sampled_from(["alters", "forgets", "leaves"]), NUMBERS))


def lanes(deed):
    """What several clients do at once. Few shapes, so that what comes again is prepared."""
    return st.lists(st.lists(deed, min_size=12, max_size=40), min_size=1, max_size=8)


OPTIONS = {"pool": st.integers(1, 8), "prepared": st.booleans()}
# What threads do side by side comes out differently each time, so nothing is made smaller.
MANNER = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
QUICK = settings(MANNER, max_examples=8, derandomize=True)
CONFIGURATION = """[databases]
{id} = host={host} port={port} dbname={id} pool_size=3 user={login} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
admin_users = {login}
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_prepared_statements = {most}
"""


@pytest.fixture(scope="module")
def direct(tenant):
    """Its tables, reached without a pooler."""
    with tenant.as_admin() as admin:
        yield Place(admin, tenant.uri(tenant.roles.authenticator), tenant.roles.service).filled()


@pytest.fixture(scope="module", params=[0, 50], ids=["prepared-off", "prepared-on"])
def pooled(request, direct, server_url, tenant):
    """The same through our PgBouncer in transaction mode, with fewer sessions than there are clients."""
    login, server = tenant.roles.authenticator, conninfo_to_dict(server_url)
    folder, port = Path(tempfile.mkdtemp(prefix="ldb-harm-")), free_port()
    (folder / "pgbouncer.ini").write_text(
        CONFIGURATION.format(
            id=tenant.id, host=server["host"], port=server["port"], login=login, password=tenant.passwords[login],
            listen_port=port, most=request.param,
        )
    )  # fmt: skip
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    name = f"ldbtest-harm-{port}"
    mount = ["-v", f"{folder}:/etc/pooled:ro", "--entrypoint", "pgbouncer"]
    docker("run", "-d", "--network", "host", "--name", name, *mount, image(), "/etc/pooled/pgbouncer.ini")
    uri = make_conninfo(direct.uri, host="127.0.0.1", port=port)
    wait_until(lambda: answers(uri))
    place = direct.through(uri, lambda pids: not pids & sessions_of(uri))
    place.container = name
    yield place, bool(request.param)
    docker("rm", "-f", name)
    shutil.rmtree(folder)


def sessions_of(uri):
    """Return the backends that the pooler holds."""
    with open_console(make_conninfo(uri, dbname="pgbouncer"), "x") as pooler:
        return {int(row["remote_pid"]) for row in pooler.run_command("SHOW SERVERS")}


def answers(uri):
    try:
        psycopg.connect(uri, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def whole(place, rounds, pool, *, prepared):
    """Carry out the lists; between two rounds every session is ended."""
    options = {"db-pool": str(pool), "db-prepared-statements": str(prepared).lower()}
    with closing(place.instance(**options)) as instance:
        for several in rounds:
            assert side_by_side(instance, place, several) == []
            place.end_sessions()
        assert carried_out(instance, place, [("good", number) for number in range(26)]) == []


@QUICK
@given(rounds=st.lists(lanes(ANY), min_size=1, max_size=2), **OPTIONS)
def test_good_requests_are_answered_whatever_fails_beside_them(direct, rounds, pool, prepared):
    """Sessions are ended, tables altered and statements forgotten meanwhile."""
    whole(direct, rounds, pool, prepared=prepared)


@settings(MANNER, max_examples=5, derandomize=True)
@given(several=lanes(PLAIN), pool=st.integers(1, 3))
def test_what_is_believed_prepared_is_what_the_server_has(direct, several, pool):
    with closing(direct.instance(**{"db-pool": str(pool)})) as instance:
        assert side_by_side(instance, direct, several) == []
        for number in range(len(FAILING)):
            assert carried_out(instance, direct, [("fails", number), ("good", number)] * 7) == []
        held = prepared_by(instance)
        assert held
        for believed, there, closing_soon in held:
            assert believed <= there <= believed | closing_soon


def prepared_by(instance):
    """Return of each session that rests: what it takes for prepared, what is, and what it is about to close."""
    found = []
    for _, connection in instance.pool._idle:
        there = {name.encode() for (name,) in connection.execute("SELECT name FROM pg_prepared_statements").fetchall()}
        book = connection.book
        found.append((set(book._names.values()), there, set(book._unwanted)))
    return found


@pytest.mark.parametrize("kind", [0, 5])
def test_a_failure_at_any_moment_leaves_its_session_good(direct, kind):
    """One session; it fails when one of its statements is about to be prepared, and late, when all have been sent."""
    for failing, before in itertools.product((1, 2), (3, 4, 5)):
        with closing(direct.instance(**{"db-pool": "1"})) as instance:
            deeds = [("fails", failing), *[("good", kind)] * before, ("fails", failing), *[("good", kind)] * 7]
            assert carried_out(instance, direct, deeds) == []


class Stopped(BaseException):
    """What ends a request from outside."""


def stop(*_):
    raise Stopped


def test_a_request_that_is_stopped_half_way_takes_its_session_with_it(direct):
    """Its answer is still on its way, and would be read as the next one's."""
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with closing(direct.instance(**{"db-pool": "1"})) as instance:
            for kind in (0, 6):
                assert carried_out(instance, direct, [("good", kind)] * 7) == []
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                with pytest.raises(Stopped):
                    ask(instance, "POST", "/rpc/sleeps", {})
                assert instance.pool.opened == 0
                assert carried_out(instance, direct, [("good", kind)] * 7) == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_makes_room_for_another_is_closed_though_requests_fail_meanwhile(direct, monkeypatch):
    monkeypatch.setattr(prepared_statements, "MOST", 3)
    with closing(direct.instance(**{"db-pool": "1"})) as instance:
        for shape in itertools.permutations(["id", "name", "part"]):
            for turn in range(WORTH + 2):
                assert ask(instance, "GET", f"/items?select={','.join(shape)}&id=eq.1")[0] == 200
                assert ask(instance, *FAILING[turn % 6])[0] >= 400
        ((believed, there, closing_soon),) = prepared_by(instance)
        assert len(believed) == 3
        assert believed <= there <= believed | closing_soon


def test_a_failure_costs_nothing_that_was_prepared(direct):
    """Who makes requests fail on purpose slows nobody."""
    with closing(direct.instance(**{"db-pool": "1"})) as instance:
        assert carried_out(instance, direct, [("good", number % 13) for number in range(13 * (WORTH + 2))]) == []
        ((believed, _, _),) = prepared_by(instance)
        assert carried_out(instance, direct, [("fails", number) for number in range(2 * len(FAILING))]) == []
        ((after, there, _),) = prepared_by(instance)
        assert believed <= after <= there


@pytest.mark.parametrize("left", ["BEGIN", "pipeline", "closed"])
def test_a_session_that_is_left_in_the_middle_is_not_lent_again(direct, left):
    with closing(direct.instance(**{"db-pool": "1"})) as instance:
        with instance.pool.lend() as connection:
            if left == "BEGIN":
                connection.execute("BEGIN")
            elif left == "pipeline":
                connection.pgconn.enter_pipeline_mode()
            else:
                connection.close()
        assert instance.pool.opened == 0
        assert carried_out(instance, direct, [("good", 0), ("good", 6)]) == []


@pytest.mark.docker
def test_a_pooler_that_dies_and_comes_back_is_all_there_was(pooled):
    place, _ = pooled
    with closing(place.instance(**{"db-pool": "2"})) as instance:
        assert carried_out(instance, place, [("good", 0), ("good", 6)] * 7) == []
        docker("kill", place.container)
        assert ask(instance, "GET", "/items?id=eq.1")[0] == 503
        docker("start", place.container)
        wait_until(lambda: answers(place.uri))
        assert carried_out(instance, place, [("good", 0), ("good", 6)] * 7) == []


@pytest.mark.docker
@settings(QUICK, max_examples=3)
@given(rounds=st.lists(lanes(ANY), min_size=1, max_size=2), pool=st.integers(1, 8))
def test_good_requests_are_answered_through_the_pooler_too(pooled, rounds, pool):
    place, prepared = pooled
    whole(place, rounds, pool, prepared=prepared)


@pytest.mark.full
@settings(MANNER, max_examples=400)
@given(rounds=st.lists(lanes(ANY), min_size=1, max_size=4), **OPTIONS)
def test_good_requests_are_answered_whatever_fails_beside_them_at_length(direct, rounds, pool, prepared):
    whole(direct, rounds, pool, prepared=prepared)


@pytest.mark.full
@pytest.mark.docker
@settings(MANNER, max_examples=200)
@given(rounds=st.lists(lanes(ANY), min_size=1, max_size=4), pool=st.integers(1, 8))
def test_good_requests_are_answered_through_the_pooler_at_length(pooled, rounds, pool):
    place, prepared = pooled
    whole(place, rounds, pool, prepared=prepared)
