"""Staging databases, of a project and of the platform: closed while they are filled, and swapped in at one stroke."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from catalog.ids import new_project_id
from infra.errors import Refused, Unavailable
from infra.postgres import staging as module
from infra.postgres.role_names import PLATFORM_OWNER
from infra.postgres.staging import StagingDatabase
from tests.fixtures.halfway import end_backends
from tests.fixtures.projects import drop, new_tenant
from tests.fixtures.servers import wait_until

SESSION = "launchdb:staging-test"


@dataclass
class World:
    """A live database and what may stand beside it, each holding one row that says which one it was."""

    staging: StagingDatabase
    conninfo: str
    live: str
    owner: str | None

    @property
    def staged(self) -> str:
        return f"{self.live}_restored"

    @property
    def kept(self) -> str:
        return f"{self.live}_before"

    @property
    def all(self) -> tuple[str, ...]:
        return self.live, self.staged, self.kept

    def connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.conninfo, dbname=name, autocommit=True, connect_timeout=20)

    def make(self, name: str, label: str = "") -> None:
        self.staging.create(name, owner=self.owner)
        with self.connect(name) as session:
            session.execute("CREATE TABLE called AS SELECT %s::text AS name", (label or name,))

    def called(self, name: str) -> str | None:
        """Return which one a database was at first; None when there is none."""
        with self.admin() as admin:
            if admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                return None
        with self.connect(name) as session:
            return session.execute("SELECT name FROM called").fetchone()[0]

    def admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.conninfo, dbname="postgres", autocommit=True)

    def half_drop(self, name: str) -> None:
        with self.admin() as admin:
            admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", (name,))

    def swap(self) -> None:
        self.staging.swap(self.live, self.staged, self.kept)

    def swap_back(self) -> None:
        self.staging.swap_back(self.live, self.kept, self.staged)


@pytest.fixture(params=["project", "platform"])
def world(request, cluster):
    """The databases of a project, or of a platform, whose live one is there and whose staged one is filled."""
    live = new_project_id()
    project = request.param == "project"
    staging = StagingDatabase(cluster.databases.cluster, SESSION, label=f"launchdb:{live}" if project else None)
    made = World(staging, cluster.database.conninfo, live, PLATFORM_OWNER if project else None)
    made.make(made.live)
    made.make(made.staged)
    yield made
    for name in made.all:
        staging.drop(name)


@pytest.fixture
def stranger(cluster):
    """Another tenant's owner."""
    made = new_tenant(cluster)
    yield made
    drop(cluster, made.id)


def test_a_swap_gives_each_its_name_and_another_changes_nothing(world):
    for _turn in range(2):
        world.swap()
        assert (world.called(world.live), world.called(world.kept)) == (world.staged, world.live)
        assert world.called(world.staged) is None


def test_a_second_restore_takes_the_place_of_what_was_kept_of_the_first(world):
    world.swap()
    world.make(world.staged, "second")
    world.swap()
    assert (world.called(world.live), world.called(world.kept)) == ("second", world.staged)


def test_a_swap_without_a_live_one_gives_it_its_name(world):
    world.staging.drop(world.live)
    world.swap()
    assert (world.called(world.live), world.called(world.kept)) == (world.staged, None)


@pytest.mark.parametrize("which", ["live", "kept"])
def test_a_swap_gets_over_what_is_half_dropped(which, world):
    world.make(world.kept)
    world.half_drop(getattr(world, which))
    world.swap()
    # Of a live one that is half dropped there is nothing to keep: what was kept before stays.
    assert world.called(world.live) == world.staged
    assert world.called(world.kept) == (world.kept if which == "live" else world.live)


def test_what_is_half_dropped_is_not_swapped_in(world):
    world.half_drop(world.staged)
    world.swap()
    assert world.called(world.live) == world.live
    assert (world.staging.exists(world.staged), world.staging.is_half_dropped(world.staged)) == (False, True)
    world.staging.drop(world.staged)
    assert not world.staging.is_half_dropped(world.staged)


def test_a_swap_can_be_taken_back_and_that_is_done_once(world):
    world.swap()
    for _turn in range(2):
        world.swap_back()
        assert [world.called(name) for name in world.all] == [world.live, None, None]


@pytest.mark.parametrize("live", ["gone", "half dropped"])
def test_what_was_kept_comes_back_although_the_live_one_is(live, world):
    world.swap()
    if live == "gone":
        world.staging.drop(world.live)
    else:
        world.half_drop(world.live)
    world.swap_back()
    assert world.called(world.live) == world.live


def test_a_way_back_that_is_half_dropped_is_refused_and_nothing_is_lost(world):
    world.swap()
    world.half_drop(world.kept)
    with pytest.raises(Refused, match="half dropped"):
        world.swap_back()
    assert world.called(world.live) == world.staged


@pytest.fixture
def busy(world):
    """A session of the live database that is in the middle of something for longer than a swap waits for it."""
    session = world.connect(world.live)

    def work():
        with suppress(psycopg.Error):
            session.execute("SELECT pg_sleep(200)")

    thread = threading.Thread(target=work)
    thread.start()
    yield session
    session.close()
    thread.join(20)


def waits(world):
    with world.admin() as admin:
        return admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND query LIKE 'ALTER DATABASE%%RENAME%%'"
            " AND state = 'active'",
            (SESSION,),
        ).fetchone()[0]


def works(world):
    with world.admin() as admin:
        return admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query LIKE '%%pg_sleep%%'",
            (world.live,),
        ).fetchone()[0]


@pytest.mark.parametrize("act", ["swap", "swap_back"])
def test_one_that_is_killed_in_its_middle_has_changed_nothing_and_shuts_nobody_out(act, world, monkeypatch):
    if act == "swap_back":
        world.swap()
    monkeypatch.setattr(module, "DRAIN_SECONDS", 60)
    before = [world.called(name) for name in world.all]
    holder = world.connect(world.live)
    work = threading.Thread(target=lambda: suppressed(holder, "SELECT pg_sleep(200)"))
    work.start()
    # Who does nothing yet would be ended at once.
    wait_until(lambda: works(world))
    ended = []
    running = threading.Thread(target=lambda: ended.append(raised(getattr(world, act))))
    running.start()
    wait_until(lambda: waits(world))
    end_backends(world.conninfo, SESSION)
    running.join(60)
    assert isinstance(ended[0], Unavailable)
    holder.cancel_safe()
    work.join(20)
    holder.close()
    assert [world.called(name) for name in world.all] == before
    with world.admin() as admin:
        assert admin.execute(
            "SELECT count(*) FROM pg_database WHERE datname = ANY (%s) AND NOT datallowconn", (list(world.all),)
        ).fetchone() == (0,)
    monkeypatch.undo()
    getattr(world, act)()
    assert world.called(world.live) == (world.staged if act == "swap" else world.live)


def suppressed(session, query):
    with suppress(psycopg.Error):
        session.execute(query)


def raised(act):
    try:
        act()
    except Unavailable as error:
        return error
    return None


def test_clients_that_come_back_at_once_are_never_shut_out_and_meet_the_new_one(world):
    met, stop = [], threading.Event()

    def insist():
        while not stop.is_set():
            try:
                with world.connect(world.live) as session:
                    met.append(session.execute("SELECT name FROM called").fetchone()[0])
            except psycopg.Error as error:
                met.append(str(error))

    clients = [threading.Thread(target=insist) for _ in range(4)]
    for client in clients:
        client.start()
    wait_until(lambda: world.live in met)
    world.swap()
    swapped = len(met)
    wait_until(lambda: world.staged in met[swapped:])
    stop.set()
    for client in clients:
        client.join(30)
    assert not [told for told in met if "not currently accepting connections" in told]


def test_a_swap_lets_short_work_end_and_ends_the_long(world, busy):
    short = world.connect(world.live)
    done = []
    thread = threading.Thread(target=lambda: done.append(short.execute("SELECT 1 FROM pg_sleep(0.5)").fetchone()))
    thread.start()
    wait_until(lambda: _active(world) == 2)
    world.swap()
    thread.join(20)
    short.close()
    assert done == [(1,)]
    assert world.called(world.live) == world.staged


def _active(world):
    with world.admin() as admin:
        return admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active'", (world.live,)
        ).fetchone()[0]


def test_nobody_of_another_tenant_connects_to_one_that_is_being_filled(world, stranger):
    for name in (world.live, world.staged):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            stranger.connect(stranger.roles.owner, name)


def test_nor_to_one_whose_maker_was_killed_before_it_was_closed(world, stranger, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_given):
        raise Killed

    monkeypatch.setattr(StagingDatabase, "close", killed)
    with pytest.raises(Killed):
        world.staging.create(world.staged, owner=world.owner)
    with pytest.raises(psycopg.OperationalError, match="too many connections for database"):
        stranger.connect(stranger.roles.owner, world.staged)
    monkeypatch.undo()
    world.make(world.staged)
    world.swap()
    assert world.called(world.live) == world.staged


def test_a_login_that_was_admitted_comes_in(world, stranger):
    world.staging.admit(world.staged, stranger.roles.owner)
    with stranger.connect(stranger.roles.owner, world.staged) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_what_bears_another_projects_label_is_not_touched(cluster):
    mine, other = new_project_id(), new_project_id()
    theirs = StagingDatabase(cluster.databases.cluster, SESSION, label=f"launchdb:{other}")
    theirs.create(f"{mine}_restored", owner=PLATFORM_OWNER)
    try:
        ours = StagingDatabase(cluster.databases.cluster, SESSION, label=f"launchdb:{mine}")
        assert not ours.exists(f"{mine}_restored")
        ours.drop(f"{mine}_restored")
        ours.swap(mine, f"{mine}_restored", f"{mine}_before")
        assert theirs.exists(f"{mine}_restored")
    finally:
        theirs.drop(f"{mine}_restored")
