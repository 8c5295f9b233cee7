"""The internal services: closed without the key, and jobs of projects for whoever has it."""

from __future__ import annotations

import httpx
import pytest

import jobs.kinds  # noqa: F401 - the kinds under test
from app import manager, migrations
from infra.secrets import secretfiles
from jobs.kinds import ProvisionProject
from tests.jobs.conftest import Engine


@pytest.fixture
def served(infra, infra_as, settings, project):
    """Clients of both services with the key, and an active project."""
    secretfiles.ensure(settings.secrets_folder, settings.home / ".env")
    engine = Engine(infra)
    engine.enqueue(ProvisionProject(project))
    engine.runner.drain()
    key = secretfiles.current(settings.secrets_folder, "INTERNAL_API_KEY")
    apps = [manager.create(settings, infra_as("manager")), migrations.create(settings, infra)]
    clients = [
        httpx.Client(transport=httpx.WSGITransport(app), base_url="http://inside", headers={"X-Internal-API-Key": key})
        for app in apps
    ]
    yield (*clients, engine, project)
    for client in clients:
        client.close()
    engine.close()


def test_health_is_open_and_all_else_wants_the_key(served, settings, infra):
    for client, name, path in (
        (served[0], "postgrest-manager", "/internal/postgrest"),
        (served[1], "migrations", f"/internal/migrations/{served[3]}"),
    ):
        key = client.headers.pop("X-Internal-API-Key")
        assert client.get("/health").json() == {"status": "healthy", "service": name}
        for wrong in ({}, {"X-Internal-API-Key": "x" * 64}):
            status = client.get(path, headers=wrong).status_code
            assert status == 401, "The inner services are closed to who has not the inner key"
        assert client.get(path, headers={"X-Internal-API-Key": key}).status_code == 200
    strange = manager.create(settings, infra).test_client()
    assert strange.get("/internal/postgrest", headers={"X-Internal-API-Key": "\u00fc"}).status_code == 401
    (settings.secrets_folder / "INTERNAL_API_KEY.previous").write_text("b" * 64)
    assert served[0].get("/internal/postgrest", headers={"X-Internal-API-Key": "b" * 64}).status_code == 200


def test_the_manager_restarts_pauses_and_spawns_by_jobs(served):
    client, _, engine, project = served
    assert [one["projectId"] for one in client.get("/internal/postgrest").json()["instances"]] == [project]
    for method, path, kind in (
        ("POST", "/restart", "project.restart"),
        ("POST", "/spawn", "project.reconcile"),
        ("DELETE", "", "project.pause"),
    ):
        answer = client.request(method, f"/internal/postgrest/{project}{path}")
        assert (answer.status_code, answer.json()["job"]["kind"]) == (202, kind)
        engine.runner.drain()
    assert client.get("/internal/postgrest").json() == {"instances": []}
    assert client.post(f"/internal/postgrest/{project}/restart").status_code == 409
    assert client.post(f"/internal/postgrest/{project}/spawn").json()["job"]["kind"] == "project.resume"
    assert client.post("/internal/postgrest/nobody/spawn").status_code == 404


def test_the_migrations_service_shows_and_runs(served):
    _, client, _, project = served
    seen = client.get(f"/internal/migrations/{project}").json()
    wanted = [
        "001_auth", "002_storage", "003_public", "004_refreshes", "005_role_settings", "006_login_of_requests",
        "007_shared_resources", "009_auth_sessions", "011_auth_letters", "012_mfa", "013_auth_oauth",
        "014_lower_keys", "015_storage_service", "016_storage_uploads", "019_s3", "020_files_hold",
        "021_storage_listings", "022_storage_listings_by_time",
    ]  # fmt: skip
    assert [line["version"] for line in seen["versions"]] == wanted
    assert [line["version"] for line in seen["versions"]] == wanted
    assert seen["drift"] == {"missing": [], "edited": [], "ahead": []}
    answer = client.post("/internal/migrations/run", json={"projectId": project})
    assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "project.migrate")
    for wrong in ({}, {"projectId": 1}, {"projectId": "x"}, {"projectId": project, "more": 1}):
        assert client.post("/internal/migrations/run", json=wrong).status_code == 422
    assert client.post("/internal/migrations/run", json={"projectId": "proj_" + "0" * 16}).status_code == 404
