"""Storage in a process of its own: healthy, and clear in its clients' words."""

from __future__ import annotations

import httpx
import pytest

from app.storage import process as storage
from infra.postgres.database import Database


@pytest.fixture
def clients(infra_as, settings):
    """A client of it, which has the platform's database by its own login."""
    apps = {"storage": storage.create(infra_as("storage").database, settings)}
    made = {
        name: httpx.Client(transport=httpx.WSGITransport(app), base_url="http://held") for name, app in apps.items()
    }
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def nowhere(settings):
    """The service, with a database that is away."""
    gone = Database("postgresql://postgres@127.0.0.1:1/nowhere?connect_timeout=1")
    yield {"storage": storage.create(gone, settings)}
    gone.close()


@pytest.mark.parametrize("name", ["storage"])
def test_health_is_open_and_asks_nobody(nowhere, name):
    answer = nowhere[name].test_client().get("/health")
    assert (answer.status_code, answer.json) == (200, {"status": "healthy", "service": f"{name}-service"})


def test_storage_says_with_all_three_members_that_a_project_is_not_served(clients, project):
    for method, path in (("GET", "bucket"), ("POST", "object/a/b"), ("DELETE", "bucket/a"), ("PUT", "object/a/b")):
        answer = clients["storage"].request(method, f"/project/{project}/storage/v1/{path}")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert (
            answer.json().items()
            >= {
                "statusCode": "503",
                "error": "unavailable",
                "message": "The project is provisioning",
            }.items()
        )


@pytest.mark.parametrize("path", ["/project/proj_0000000000000000/{0}/v1/bucket", "/{0}/proj_0000000000000000/bucket"])
@pytest.mark.parametrize("name", ["storage"])
def test_a_project_that_nobody_knows_is_not_there(clients, name, path):
    answer = clients[name].get(path.format(name))
    assert answer.status_code == 404
    assert "There is no such project" in answer.text


@pytest.mark.parametrize("name", ["storage"])
def test_a_browser_may_read_every_answer_and_asks_first_without_a_key(clients, name):
    path, origin = f"/project/proj_0000000000000000/{name}/v1/bucket", {"Origin": "https://app.example.org"}
    asked = clients[name].options(path, headers={**origin, "Access-Control-Request-Method": "POST"})
    assert asked.status_code == 200
    assert "x-upsert" in asked.headers["Access-Control-Allow-Headers"]
    assert "PUT" in asked.headers["Access-Control-Allow-Methods"]
    assert clients[name].get(path, headers=origin).headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("name", ["storage"])
def test_a_database_that_is_away_is_worth_another_try(nowhere, name):
    answer = nowhere[name].test_client().get(f"/project/proj_0000000000000000/{name}/v1/bucket")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
