"""What wants attention: a failed job stands there until it was put right, by whatever way that happened."""

from __future__ import annotations

import pytest

from tests.fixtures.projects import add_project

PLAIN = (
    "INSERT INTO jobs (id, kind, queue, status, args, error, created_by, project_id, finished_at, ready)"
    " VALUES ('job_' || lpad(%s, 32, '0'), %s, 'bulk', %s, '{}', '{\"detail\": \"a disk was full\"}', 'system', %s,"
    " now() - make_interval(mins => %s), false)"
)


@pytest.fixture
def operator(town):
    return town.owner(operator=True)


@pytest.fixture
def jobs(infra):
    """Writes jobs that have ended: kind, status, project, minutes ago."""
    made = []

    def write(kind, status, project, minutes):
        made.append(kind)
        with infra.database.autocommit() as tx:
            tx.execute(PLAIN, (str(len(made)), kind, status, project, minutes))

    return write


def failures(operator):
    found = operator.get("/api/admin/attention").json()["attention"]
    return [(entry["what"], entry["subject"]) for entry in found if entry["what"].endswith("failed")]


@pytest.mark.parametrize(
    ("failed", "since"),
    [
        ("project.backup", "project.backup"),
        ("project.restart", "project.restart"),
        ("project.restart", "project.reconcile"),
        ("project.pause", "project.resume"),
        ("project.wake", "project.reconcile"),
    ],
)
def test_a_failed_job_is_off_the_list_once_it_was_put_right(operator, jobs, infra, failed, since):
    project, other = add_project(infra, status="active"), add_project(infra, status="active")
    jobs(since, "succeeded", project, 30)
    jobs(failed, "failed", project, 20)
    jobs(since, "succeeded", other, 10)
    assert failures(operator) == [(f"{failed} failed", project)], "what went well before, or elsewhere, mends nothing"
    jobs(since, "succeeded", project, 10)
    assert failures(operator) == []
    jobs(failed, "failed", project, 5)
    assert failures(operator) == [(f"{failed} failed", project)]


def test_what_mends_something_else_leaves_it_there(operator, jobs, infra):
    project = add_project(infra, status="active")
    jobs("project.backup", "failed", project, 20)
    jobs("project.reconcile", "succeeded", project, 10)
    jobs("project.vacuum", "succeeded", project, 10)
    assert failures(operator) == [("project.backup failed", project)]


def test_a_job_of_the_platform_is_put_right_by_the_next_of_its_kind(operator, jobs):
    jobs("platform.backup", "failed", None, 20)
    jobs("platform.prune", "succeeded", None, 10)
    assert failures(operator) == [("platform.backup failed", None)]
    jobs("platform.backup", "succeeded", None, 10)
    assert failures(operator) == []


def test_nothing_is_left_of_a_project_that_is_gone(operator, jobs, infra):
    project = add_project(infra, status="active")
    jobs("project.vacuum", "failed", project, 20)
    assert failures(operator) == [("project.vacuum failed", project)]
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'deleted', deleted_at = now() WHERE id = %s", (project,))
    assert failures(operator) == []


def test_it_is_operators_business(owner):
    assert owner.get("/api/admin/attention").status_code == 404
