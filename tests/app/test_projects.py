"""Projects and jobs through the API, from the request to the end of the job, with a real worker's engine."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import psycopg
import pytest

import jobs.kinds  # noqa: F401 - the kinds under test
from tests.app.test_bad_input import problem


@contextmanager
def working(engine):
    """Have the engine run one job to its end, as soon as there is one; ends when it has."""

    def run():
        deadline, began = time.monotonic() + 60, False
        while time.monotonic() < deadline and (not began or is_unfinished()):
            began = engine.runner.run_one() or began
            time.sleep(0.05)

    def is_unfinished():
        with engine.infra.database.autocommit() as tx:
            return tx.value("SELECT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)")

    running = threading.Thread(target=run)
    running.start()
    try:
        yield
    finally:
        running.join()


def test_a_creation_answers_at_once_and_says_where_to_look(owner):
    answer = owner.post("/api/projects", json={"name": "shop", "poolSize": 7}, headers={"X-Request-Id": "r-1"})
    assert answer.status_code == 202
    project, job = answer.json()["project"], answer.json()["job"]
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) > 0
    assert (project["status"], project["poolSize"], project["currentJob"]) == ("provisioning", 7, job["id"])
    assert (job["kind"], job["projectId"], job["requestId"]) == ("project.provision", project["id"], "r-1")
    assert job["createdBy"] == owner.id
    assert owner.get(f"/api/projects/{project['id']}").json() == project


@pytest.mark.gpg
def test_who_waits_gets_the_project_as_soon_as_it_is_there_and_can_connect(owner, engine):
    with working(engine):
        answer = owner.post("/api/projects", json={"name": "shop"}, headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (201, "wait=30")
    project = answer.json()["project"]
    assert answer.headers["Location"] == f"/api/projects/{project['id']}"
    assert (project["status"], answer.json()["job"]["status"]) == ("active", "succeeded")
    shown = owner.get(f"/api/projects/{project['id']}/connection")
    assert shown.headers["Cache-Control"] == "no-store"
    with psycopg.connect(shown.json()["databaseUrl"]) as connection:
        assert connection.execute("SELECT current_database()").fetchone()[0] == project["id"]
    assert shown.json()["restUrl"] == project["endpoints"]["restUrl"]
    with working(engine):
        gone = owner.delete(f"/api/projects/{project['id']}", headers={"Prefer": "respond-async, wait=30"})
    assert (gone.status_code, gone.json()["job"]["status"]) == (200, "succeeded")
    problem(owner.get(f"/api/projects/{project['id']}"), 404)


@pytest.mark.timing
def test_a_wait_that_ends_first_is_answered_as_without(owner):
    started = time.monotonic()
    answer = owner.post("/api/projects", json={"name": "shop"}, headers={"Prefer": "wait=1"})
    assert 1 <= time.monotonic() - started < 3
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=1")


def test_a_failed_job_is_never_called_a_success(owner):
    answers = []

    def create():
        answers.append(owner.post("/api/projects", json={"name": "shop"}, headers={"Prefer": "wait=20"}))

    waiting = threading.Thread(target=create)
    waiting.start()
    deadline = time.monotonic() + 60
    while not (listed := owner.get("/api/jobs").json()["jobs"]):
        assert time.monotonic() < deadline
    assert owner.post(f"/api/jobs/{listed[0]['id']}/cancel").status_code == 202
    waiting.join()
    assert (answers[0].status_code, answers[0].json()["job"]["status"]) == (200, "cancelled")
    assert "Location" not in answers[0].headers


def test_the_connection_of_an_unfinished_project_is_a_conflict_that_names_state_and_job(owner):
    project = owner.project()
    found = problem(owner.get(f"/api/projects/{project['id']}/connection"), 409)
    assert "provisioning" in found["detail"]
    assert project["currentJob"] in found["detail"]


def test_name_and_pool_size_change_and_the_old_name_is_free(owner):
    project = owner.project("old")
    changed = owner.patch(f"/api/projects/{project['id']}", json={"name": "new", "poolSize": 9})
    assert (changed.status_code, changed.json()["name"], changed.json()["poolSize"]) == (200, "new", 9)
    other = owner.project("old")
    problem(owner.patch(f"/api/projects/{other['id']}", json={"name": "new"}), 409)


def test_a_deletion_frees_the_name_at_once_and_is_answered_twice_with_one_job(owner):
    project = owner.project("shop")
    first = owner.delete(f"/api/projects/{project['id']}")
    assert (first.status_code, first.json()["project"]["status"]) == (202, "deleting")
    again = owner.delete(f"/api/projects/{project['id']}")
    assert again.json()["job"]["id"] == first.json()["job"]["id"]
    assert owner.project("shop")["id"] != project["id"]
    problem(owner.patch(f"/api/projects/{project['id']}", json={"name": "x"}), 409)
    assert owner.get(f"/api/jobs/{project['currentJob']}").json()["status"] == "cancelled"


def test_lists_go_page_by_page_newest_first(owner):
    made = [owner.project(f"p{number}")["id"] for number in range(5)]
    seen, cursor = [], None
    while True:
        page = owner.get("/api/projects", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [project["id"] for project in page["projects"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    jobs = owner.get("/api/jobs?limit=3").json()
    rest = owner.get("/api/jobs", params={"cursor": jobs["nextCursor"]}).json()
    assert len(jobs["jobs"] + rest["jobs"]) == 5
    only = owner.get("/api/jobs", params={"projectId": made[0], "status": "queued", "kind": "project.provision"}).json()
    assert [job["projectId"] for job in only["jobs"]] == [made[0]]


def test_an_unchanged_resource_is_not_sent_again(owner):
    project = owner.project()
    for path in (f"/api/projects/{project['id']}", f"/api/jobs/{project['currentJob']}", "/api/openapi.json"):
        first = owner.get(path)
        again = owner.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert owner.get(path, headers={"If-None-Match": "junk"}).status_code == 200
    owner.patch(f"/api/projects/{project['id']}", json={"poolSize": 8})
    answer = owner.get(f"/api/projects/{project['id']}")
    assert answer.status_code == 200


def test_the_same_key_and_request_make_one_project_another_request_is_refused(owner, town):
    key = {"Idempotency-Key": "k"}
    first = owner.post("/api/projects", json={"name": "a"}, headers=key)
    again = owner.post(
        "/api/projects", content=b'{ "name" : "a" }', headers={**key, "Content-Type": "application/json"}
    )
    assert "Idempotency-Replayed" not in first.headers
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    problem(owner.post("/api/projects", json={"name": "b"}, headers=key), 422)
    assert town.owner().post("/api/projects", json={"name": "b"}, headers=key).status_code == 202
    other_route = owner.delete(f"/api/projects/{first.json()['project']['id']}", headers=key)
    assert other_route.status_code == 202
    assert len(town.rows("SELECT id FROM projects")) == 2


def test_a_refusal_does_not_use_up_the_key(owner):
    owner.project("taken")
    key = {"Idempotency-Key": "k"}
    problem(owner.post("/api/projects", json={"name": "taken"}, headers=key), 409)
    assert owner.post("/api/projects", json={"name": "free"}, headers=key).status_code == 202


@pytest.mark.timing
def test_a_long_poll_ends_with_the_change(owner):
    job = owner.project()["currentJob"]
    started = time.monotonic()
    assert owner.get(f"/api/jobs/{job}?wait=1").headers["Retry-After"]
    assert time.monotonic() - started >= 1
    stop = threading.Timer(0.2, lambda: owner.post(f"/api/jobs/{job}/cancel"))
    stop.start()
    answer = owner.get(f"/api/jobs/{job}?wait=20")
    stop.join()
    assert answer.json()["status"] == "cancelled"
    assert "Retry-After" not in answer.headers
    assert time.monotonic() - started < 10


def events_of(text):
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [block for block in blocks if "event" in block]


def test_a_stream_tells_each_change_resumes_and_ends_with_the_last(owner, engine):
    job = owner.project()["currentJob"]
    with working(engine):
        answer = owner.get(f"/api/jobs/{job}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    told = events_of(answer.text)
    assert [block["event"] for block in told].count("step") >= 6
    assert '"status": "queued"' in told[0]["data"]
    assert (told[-1]["event"], '"status": "succeeded"' in told[-1]["data"]) == ("job", True)
    rest = owner.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": told[2]["id"]})
    assert [block["id"] for block in events_of(rest.text)] == [block["id"] for block in told[3:]]
    junk = owner.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": "junk"})
    assert events_of(junk.text) == told
    assert owner.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": told[-1]["id"]}).status_code == 204


def test_jobs_are_cancelled_and_retried_and_conflicts_name_the_state(owner):
    job = owner.project()["currentJob"]
    problem(owner.post(f"/api/jobs/{job}/retry"), 409)
    answer = owner.post(f"/api/jobs/{job}/cancel")
    assert (answer.status_code, answer.json()["job"]["status"]) == (202, "cancelled")
    assert "cancelled" in problem(owner.post(f"/api/jobs/{job}/cancel"), 409)["detail"]
    assert owner.post(f"/api/jobs/{job}/retry").json()["job"]["status"] == "queued"


def test_an_operator_pauses_and_resumes_a_queue(town, owner):
    boss = town.owner(operator=True)
    paused = boss.post("/api/admin/queues/bulk/pause").json()
    assert paused["pausedBy"] == boss.id
    assert boss.post("/api/admin/queues/bulk/resume").json()["pausedAt"] is None
    problem(boss.post("/api/admin/queues/nope/pause"), 404)
    audited = boss.get("/api/admin/audit", params={"limit": 1}).json()
    assert audited["chain"]["unsealed"] > 0
    assert boss.get("/api/admin/audit", params={"cursor": audited["nextCursor"]}).json()["audit"]
    job = owner.project()["currentJob"]
    assert [found["id"] for found in boss.get("/api/admin/jobs").json()["jobs"]] == [job]
    depths = {queue["name"]: queue["depth"] for queue in boss.get("/api/admin/queues").json()["queues"]}
    assert depths == {"bulk": 0, "control": 1}


def test_each_change_leaves_an_audit_row_with_who_what_and_its_job(town, owner):
    project = owner.project()
    owner.delete(f"/api/projects/{project['id']}", headers={"X-Request-Id": "the-end"})
    rows = town.rows("SELECT actor, action, project_id, request_id, job_id FROM audit WHERE request_id = 'the-end'")
    told = [(row["actor"], row["action"], row["project_id"]) for row in rows]
    assert told == [(owner.id, "project.delete", project["id"])], "Each change leaves a line of who did what"
    assert rows[0]["job_id"].startswith("job_")
