"""Exports and imports through the API."""

from __future__ import annotations

import pytest

from infra.secrets import secretfiles
from tests.app.test_bad_input import problem
from tests.app.test_project_settings import project, services  # noqa: F401 - fixtures
from tests.fixtures.projects import drop

PASSPHRASE = "a passphrase of the tests"


def exported(owner, project, engine, **body):  # noqa: F811 - fixtures
    answer = owner.post(f"{project}/exports", json=body)
    assert answer.status_code == 202, answer.text
    engine.runner.drain()
    job = owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()
    assert job["status"] == "succeeded", job
    return answer.json(), job


def test_the_passphrase_is_in_the_first_answer_only(owner, project, engine):  # noqa: F811 - fixtures
    headers = {"Idempotency-Key": "once"}
    first = owner.post(f"{project}/exports", json={}, headers=headers).json()
    assert len(first["passphrase"]) >= 32
    again = owner.post(f"{project}/exports", json={}, headers=headers).json()
    assert (again["passphrase"], again["job"]["id"]) == (None, first["job"]["id"])
    waited = owner.post(f"{project}/exports", json={}, headers={"Prefer": "wait=1"}).json()
    assert waited["passphrase"] not in (None, first["passphrase"])


def test_another_passphrase_under_the_same_key_is_another_request(owner, project, engine):  # noqa: F811 - fixtures
    headers = {"Idempotency-Key": "twice"}
    first = {"passphrase": PASSPHRASE}
    assert owner.post(f"{project}/exports", json=first, headers=headers).status_code == 202
    assert owner.post(f"{project}/exports", json=first, headers=headers).status_code == 202
    other = {"passphrase": f"not {PASSPHRASE}"}
    problem(owner.post(f"{project}/exports", json=other, headers=headers), 422)


@pytest.mark.gpg
def test_the_file_is_its_owner_s_alone_and_fetching_it_is_audited(owner, project, engine, town):  # noqa: F811
    _, job = exported(owner, project, engine, passphrase=PASSPHRASE)
    path = f"{project}/exports/{job['id']}/file"
    answer = owner.get(path)
    assert (answer.status_code, len(answer.content)) == (200, job["result"]["bytes"])
    assert owner.get(path, headers={"Range": "bytes=0-9"}).content == answer.content[:10]
    problem(town.owner().get(path), 404)
    problem(owner.get(f"{project}/exports/job_{'0' * 32}/file"), 404)
    problem(owner.get(f"{project}/exports/..%2f..%2fsecrets/file"), 404)
    assert town.rows("SELECT 1 AS one FROM audit WHERE action = 'export.download'") != []


@pytest.mark.parametrize(
    "body",
    [
        {"passphrase": "short"},
        {"passphrase": "x" * 201},
        {"passphrase": "two lines of\nwhich one is lost"},
        {"passphrase": None, "more": 1},
        {"passphrase": 12345678901234567},
    ],
)
def test_a_passphrase_that_protects_nothing_is_refused(owner, project, body):  # noqa: F811 - fixtures
    problem(owner.post(f"{project}/exports", json=body), 422)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"file": "../secrets/INTERNAL_API_KEY", "passphrase": PASSPHRASE},
        {"file": "/etc/passwd", "passphrase": PASSPHRASE},
        {"file": ".hidden", "passphrase": PASSPHRASE},
        {"file": "-rf", "passphrase": PASSPHRASE},
        {"file": "a\0b", "passphrase": PASSPHRASE},
        {"file": "not-there.gpg", "passphrase": PASSPHRASE},
        {"file": "x.gpg", "passphrase": PASSPHRASE, "keys": "both"},
        {"file": "x.gpg", "passphrase": PASSPHRASE, "ownerId": "nobody"},
    ],
)
def test_nonsense_is_refused_and_nothing_is_made(town, settings, body):
    operator = town.owner(operator=True)
    settings.imports_folder.mkdir(mode=0o700)
    (settings.imports_folder / "x.gpg").write_bytes(b"no export")
    problem(operator.post("/api/projects/import", json=body), 422)
    assert town.rows("SELECT 1 AS one FROM projects") == []
    assert town.rows("SELECT 1 AS one FROM jobs") == []


def test_only_operators_import(town, settings):
    secretfiles.ensure(settings.secrets_folder, settings.home / ".env")
    body = {"file": "x.gpg", "passphrase": PASSPHRASE}
    problem(town.owner().post("/api/projects/import", json=body), 404)


@pytest.mark.gpg
def test_an_import_for_somebody_else_is_that_owner_s(owner, project, engine, town, settings):  # noqa: F811 - fixtures
    _, job = exported(owner, project, engine, passphrase=PASSPHRASE)
    settings.imports_folder.mkdir(mode=0o700)
    (settings.exports_folder / job["result"]["file"]).rename(settings.imports_folder / "x.gpg")
    operator, somebody = town.owner(operator=True), town.owner()
    body = {"file": "x.gpg", "passphrase": PASSPHRASE, "keys": "new", "name": "theirs", "ownerId": somebody.id}
    problem(operator.post("/api/projects/import", json={**body, "keys": "keep"}), 409)
    answer = operator.post("/api/projects/import", json=body)
    assert answer.status_code == 202, answer.text
    engine.runner.drain()
    made = answer.json()["project"]["id"]
    assert somebody.get(f"/api/projects/{made}").json()["status"] == "active"
    problem(operator.get(f"/api/projects/{made}"), 404)
    assert somebody.get("/api/jobs").json()["jobs"] != []
    drop(town.infra, made)


@pytest.mark.gpg
def test_an_import_leaves_out_what_cannot_come_back_when_that_is_agreed_to(owner, project, engine, town, settings):  # noqa: F811 - fixtures
    here = project.rpartition("/")[2]
    for query in (
        f"CREATE FUNCTION here() RETURNS boolean LANGUAGE sql AS $$ SELECT current_database() = '{here}' $$",
        "CREATE TABLE picky (id int PRIMARY KEY, CHECK (here())); INSERT INTO picky VALUES (1), (2)",
    ):
        assert owner.post(f"{project}/sql", json={"query": query}).status_code == 200
    _, job = exported(owner, project, engine, passphrase=PASSPHRASE)
    settings.imports_folder.mkdir(mode=0o700)
    (settings.exports_folder / job["result"]["file"]).rename(settings.imports_folder / "x.gpg")
    operator, ended = town.owner(operator=True), {}
    for partial in (False, True):
        body = {
            "file": "x.gpg",
            "passphrase": PASSPHRASE,
            "keys": "new",
            "name": f"taken {partial}",
            "partial": partial,
        }
        answer = operator.post("/api/projects/import", json=body)
        assert answer.status_code == 202, answer.text
        engine.runner.drain()
        ended[partial] = operator.get(f"/api/jobs/{answer.json()['job']['id']}").json()
        drop(town.infra, answer.json()["project"]["id"])
    assert (ended[False]["status"], ended[True]["status"]) == ("failed", "succeeded"), ended
    assert "picky" in ended[False]["error"]["detail"]
