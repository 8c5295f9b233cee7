"""A project's state: each way from one to another is taken or refused as the table says, whoever was first."""

from __future__ import annotations

import itertools
import re
import threading
from typing import get_args

import psycopg
import pytest

from catalog import project_states as states
from catalog.ids import new_id, new_project_id
from catalog.project_states import STATES, TABLE
from infra.postgres.database import Transaction

WAYS = {(source, way.to, way.by) for way in TABLE for source in way.sources}
EVENTS = sorted({way.by for way in TABLE})


@pytest.fixture
def tx(platform_url):
    """Statements in the platform's database that each commit by themselves."""
    with psycopg.connect(platform_url, autocommit=True) as connection:
        yield Transaction(connection)


@pytest.fixture
def owner(tx):
    owner = new_id("own")
    tx.execute("INSERT INTO owners (id, email, password_hash) VALUES (%s, %s, '$argon2id$none')", (owner, owner))
    return owner


@pytest.fixture
def project(tx, owner):
    return add(tx, owner)


def add(tx, owner, status="active", name=None) -> str:
    project = new_project_id()
    tx.execute(
        "INSERT INTO projects (id, owner_id, name, status) VALUES (%s, %s, %s, %s)",
        (project, owner, name or project, status),
    )
    return project


def put(tx, project, status):
    """Put a project where a test begins, as nobody else may."""
    tx.execute(
        "UPDATE projects SET status = %s, status_reason = 'as before', status_before = NULL WHERE id = %s",
        (status, project),
    )


def row(tx, project):
    """All that the catalogue holds of it, and which transaction wrote that."""
    return tx.row("SELECT *, xmin::text FROM projects WHERE id = %s", (project,))


def test_each_way_from_each_state_to_each_other_is_taken_or_refused_as_the_table_says(tx, project):
    wrong = []
    for by, source, to in itertools.product(EVENTS, STATES, STATES):
        put(tx, project, source)
        before = row(tx, project)
        try:
            moved = states.move(tx, project, to, by=by, reason="because")
        except LookupError:
            moved = False
        way = next((way for way in TABLE if (way.by, way.to) == (by, to)), None)
        allowed = way is not None and (source in way.sources or (way.again and source == to))
        after = row(tx, project)
        if moved != allowed or after["status"] != (to if allowed else source) or (after == before) == allowed:
            wrong.append((by, source, to))
    assert wrong == []


def test_between_two_states_without_a_way_nothing_moves_a_project(tx, project):
    """The table by pairs: what an operator may ever see a project do, and nothing else."""
    seen = set()
    for way, source in itertools.product(TABLE, STATES):
        put(tx, project, source)
        if states.move(tx, project, way.to, by=way.by) and source != way.to:
            seen.add((source, way.to))
    assert seen == {(source, to) for source, to, _by in WAYS}
    assert ("deleted", "active") not in seen, "what is gone comes back by a restore alone"
    assert {to for source, to in seen if source == "deleted"} == {"restoring"}
    assert {to for source, to in seen if source == "provisioning"} & set(states.SETTLED) == {"active"}


def test_a_way_that_nobody_goes_is_a_mistake_of_ours_and_says_so(tx, project):
    with pytest.raises(LookupError, match=r"project\.wake does not make a project paused"):
        states.move(tx, project, "paused", by="project.wake")
    with pytest.raises(LookupError):
        states.may_move(tx, project, "active", by="somebody")


def test_a_project_that_is_not_there_moves_nowhere(tx):
    assert not states.move(tx, new_project_id(), "paused", by="project.pause")
    assert states.state_of(tx, new_project_id()) is None


def test_the_database_knows_the_same_states(tx):
    found = tx.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'projects_status_check'")
    assert tuple(re.findall(r"'(\w+)'::text", found)) == STATES
    assert get_args(states.Shown) == tuple(state for state in STATES if state != "deleted")


def test_a_status_says_why_it_is_so_and_forgets_why_the_one_before_was(tx, project):
    put(tx, project, "provisioning")
    assert states.move(tx, project, "failed", by="project.provision failed", reason="no room")
    assert row(tx, project)["status_reason"] == "no room"
    assert states.move(tx, project, "provisioning", by="project.provision retried")
    assert row(tx, project)["status_reason"] is None


def test_a_project_that_falls_asleep_takes_a_complaint_along(tx, project):
    put(tx, project, "active")
    assert states.move(tx, project, "sleeping", by="project.sleep")
    assert states.move(tx, project, "active", by="project.sleep undone")
    assert row(tx, project)["status_reason"] == "as before"


def test_a_template_is_written_with_the_move_and_stays_through_the_next(tx, project):
    put(tx, project, "provisioning")
    states.move(tx, project, "active", by="project.provision", template="template_1")
    states.move(tx, project, "paused", by="project.pause")
    assert row(tx, project)["template"] == "template_1"
    states.touch(tx, project)
    assert row(tx, project)["template"] == "template_1"


@pytest.mark.parametrize("was", states.SETTLED)
def test_a_deletion_remembers_what_the_project_was_however_often_it_is_asked_for(tx, project, was):
    put(tx, project, was)
    for _asked in range(2):
        assert states.move(tx, project, "deleting", by="project.delete asked")
    assert states.before_deletion(tx, project) == was


def test_a_deletion_does_not_remember_what_a_project_was_before_an_older_one(tx, project):
    states.move(tx, project, "deleting", by="project.delete asked")
    states.move(tx, project, "failed", by="project.delete failed", reason="no disk")
    states.move(tx, project, "deleting", by="project.delete asked")
    assert states.before_deletion(tx, project) is None


def test_a_deletion_that_has_lost_the_data_forgets_what_the_project_was(tx, project):
    states.forget_before_deletion(tx, project)
    states.move(tx, project, "deleting", by="project.delete asked")
    assert states.before_deletion(tx, project) == "active", "only one that is being deleted can have lost it"
    states.forget_before_deletion(tx, project)
    assert states.before_deletion(tx, project) is None


def test_the_time_of_a_deletion_is_that_of_the_deletion_and_goes_when_the_project_is_back(tx, project):
    assert row(tx, project)["deleted_at"] is None
    states.move(tx, project, "deleting", by="project.delete asked")
    assert row(tx, project)["deleted_at"] is None
    states.move(tx, project, "deleted", by="project.delete")
    deleted_at = row(tx, project)["deleted_at"]
    assert deleted_at is not None
    states.move(tx, project, "restoring", by="project.restore undeletes")
    assert row(tx, project)["deleted_at"] == deleted_at, "until it is there again"
    states.move(tx, project, "active", by="project.restore")
    assert row(tx, project)["deleted_at"] is None


@pytest.mark.parametrize(
    ("by", "to"),
    [("project.delete undone", "active"), ("project.delete failed", "failed"), ("restore-platform", "failed")],
)
def test_a_project_whose_name_was_taken_while_it_was_deleted_goes_by_its_id(tx, owner, by, to):
    first = add(tx, owner, name="shop")
    states.move(tx, first, "deleting", by="project.delete asked")
    assert row(tx, first)["name"] == "shop"
    add(tx, owner, name="shop")
    assert states.move(tx, first, to, by=by)
    assert row(tx, first)["name"] == first


def test_of_two_that_move_a_project_at_once_one_is_refused(tx, project, platform_url):
    """The second has seen it active, too; it waits for the first, and then finds it elsewhere."""
    refused = []

    def put_to_sleep():
        with psycopg.connect(platform_url, application_name="second", autocommit=True) as connection:
            refused.append(not states.move(Transaction(connection), project, "sleeping", by="project.sleep"))

    with psycopg.connect(platform_url) as connection:
        assert states.move(Transaction(connection), project, "paused", by="project.pause")
        second = threading.Thread(target=put_to_sleep)
        second.start()
        wait_for_a_lock(tx)
        connection.commit()
    second.join(20)
    assert (refused, states.state_of(tx, project)) == ([True], "paused")


def test_a_project_that_may_move_stays_where_it_is_until_the_transaction_ends(tx, project, platform_url):
    with psycopg.connect(platform_url) as connection:
        assert states.may_move(Transaction(connection), project, "paused", by="project.pause")
        tx.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            states.move(tx, project, "sleeping", by="project.sleep")
    assert states.move(tx, project, "sleeping", by="project.sleep")


def wait_for_a_lock(tx):
    from tests.fixtures.servers import wait_until

    waits = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'second' AND wait_event_type = 'Lock'"
    wait_until(lambda: tx.value(waits) == 1, 20)


@pytest.mark.parametrize("status", STATES)
def test_only_a_settled_project_is_complained_about(tx, project, status):
    put(tx, project, status)
    states.set_complaint(tx, project, "not as it should be: a role is gone")
    complains = row(tx, project)["status_reason"] != "as before"
    assert complains == (status in states.SETTLED)


def test_a_complaint_is_taken_back_but_for_what_was_found_and_another_reason_stays(tx, project):
    states.set_complaint(tx, project, "not as it should be: a role is gone")
    states.clear_complaint(tx, project)
    assert row(tx, project)["status_reason"] is None
    tx.execute("UPDATE projects SET drift = '{a table is gone}' WHERE id = %s", (project,))
    states.clear_complaint(tx, project)
    assert row(tx, project)["status_reason"] == "not as it should be: a table is gone"
    states.set_complaint(tx, project, "its deletion did not finish")
    states.clear_complaint(tx, project)
    assert row(tx, project)["status_reason"] == "its deletion did not finish"


def test_a_template_that_is_known_already_is_no_change(tx, project):
    states.set_template(tx, project, "template_2")
    before = row(tx, project)
    states.set_template(tx, project, "template_2")
    assert row(tx, project) == before
