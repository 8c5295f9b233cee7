"""Pause, resume, restart and vacuum through the API: a job each, or a conflict that says what is in the way."""

from __future__ import annotations

import psycopg
import pytest

import jobs.kinds  # noqa: F401 - the kinds under test
from tests.app.test_bad_input import problem
from tests.app.test_projects import working

VERBS = ("pause", "resume", "restart", "vacuum")


@pytest.fixture
def services():
    """The projects' own APIs too, as when embedded."""
    return ("platform", "data")


@pytest.fixture
def project(owner, engine):
    """The path of an active project."""
    made = owner.project()["id"]
    engine.runner.drain()
    return f"/api/projects/{made}"


def test_each_is_accepted_with_its_job(owner, project, engine):
    for verb, status in (("vacuum", "active"), ("restart", "active"), ("pause", "paused"), ("resume", "active")):
        answer = owner.post(f"{project}/{verb}", json={})
        assert answer.status_code == 202, answer.text
        job = answer.json()["job"]
        assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
        assert (job["kind"], job["status"], job["createdBy"]) == (f"project.{verb}", "queued", owner.id)
        assert answer.json()["project"]["currentJob"] == job["id"]
        engine.runner.drain()
        assert owner.get(f"/api/jobs/{job['id']}").json()["status"] == "succeeded"
        assert owner.get(project).json()["status"] == status


def test_a_paused_project_says_so_to_its_clients_until_it_is_resumed(owner, project, engine, town):
    known = owner.get(f"{project}/connection").json()
    rest = f"/project/{project.rpartition('/')[2]}/rest/v1/"
    client = town.stranger(apikey=known["serviceRoleKey"])
    assert client.get(rest).status_code == 200
    with working(engine):
        paused = owner.post(f"{project}/pause", json={}, headers={"Prefer": "wait=30"})
    assert (paused.status_code, paused.json()["project"]["status"]) == (200, "paused")
    town.app.extensions["launchdb"].statuses.clear()
    away = client.get(rest)
    assert away.status_code == 503
    assert int(away.headers["Retry-After"]) > 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(known["databaseUrl"])
    with working(engine):
        assert owner.post(f"{project}/resume", json={}, headers={"Prefer": "wait=30"}).status_code == 200
    assert client.get(rest).status_code == 200
    psycopg.connect(known["databaseUrl"]).close()
    assert owner.get(f"{project}/connection").json() == known


def test_a_conflict_names_the_state_and_the_job_in_the_way(owner, project, engine):
    refused = problem(owner.post(f"{project}/resume", json={}), 409)
    assert (refused["type"], refused["detail"]) == ("/problems/project-busy", "the project is active")
    job = owner.post(f"{project}/pause", json={}).json()["job"]["id"]
    assert owner.post(f"{project}/pause", json={}).json()["job"]["id"] == job
    refused = problem(owner.post(f"{project}/restart", json={}), 409)
    assert refused["detail"] == f"the project is active; the job {job} is in the way"
    engine.runner.drain()
    for verb in ("pause", "restart", "vacuum"):
        assert problem(owner.post(f"{project}/{verb}", json={}), 409)["detail"] == "the project is paused"
    owner.delete(project)
    assert "is deleting" in problem(owner.post(f"{project}/resume", json={}), 409)["detail"]


def test_a_project_of_somebody_else_is_not_there(owner, town):
    theirs = town.owner().project()["id"]
    for verb in VERBS:
        problem(owner.post(f"/api/projects/{theirs}/{verb}", json={}), 404)
        problem(town.stranger().post(f"/api/projects/{theirs}/{verb}", json={}), 401)
        problem(owner.post(f"/api/projects/{theirs}/{verb}", json={"force": True}), 422)
    assert town.rows("SELECT id FROM jobs WHERE kind <> 'project.provision'") == []


def test_the_same_question_twice_is_one_job_and_one_line_of_the_audit(owner, project, town):
    answers = [
        owner.post(f"{project}/pause", json={}, headers={"Idempotency-Key": "once", "X-Request-Id": "r-pause"})
        for _ in range(2)
    ]
    assert len({answer.json()["job"]["id"] for answer in answers}) == 1
    (row,) = town.rows("SELECT actor, action, job_id FROM audit WHERE action = 'project.pause'")
    assert row == {"actor": owner.id, "action": "project.pause", "job_id": answers[0].json()["job"]["id"]}


def test_a_changed_pool_of_an_active_project_takes_effect_by_a_job(owner, project, engine, settings):
    answer = owner.patch(project, json={"poolSize": 9})
    assert (answer.status_code, answer.json()["project"]["poolSize"]) == (202, 9)
    assert answer.json()["job"]["kind"] == "project.configure"
    engine.runner.drain()
    assert owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()["result"]["poolSize"] == 9
    file = settings.instances_folder / project.rpartition("/")[2] / "data-api.conf"
    assert "db-pool = 9" in file.read_text()
    with working(engine):
        waited = owner.patch(project, json={"poolSize": 4}, headers={"Prefer": "wait=30"})
    assert (waited.status_code, waited.json()["poolSize"]) == (200, 4)
    assert owner.patch(project, json={"poolSize": 4}).status_code == 200, "nothing has changed, so there is no job"
    assert owner.patch(project, json={"name": "renamed"}).status_code == 200
