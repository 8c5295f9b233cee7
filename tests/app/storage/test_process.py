"""Storage as a service of its own: healthy, with its own login alone, and the platform API to wake who sleeps."""

from __future__ import annotations

import httpx
import pytest

from app.storage.process import StorageProcess
from tests.app.test_auth_alone import DataApi, platform, sockets  # noqa: F401 - fixtures
from tests.app.test_lifecycle import project  # noqa: F401 - a fixture
from tests.app.test_sleep import put_to_sleep, wakes, worker  # noqa: F401 - fixtures

NOBODY = "proj_" + "0" * 16
BROWSER = {"User-Agent": "Mozilla/5.0"}


@pytest.fixture
def alone(as_service, platform):  # noqa: F811 - a fixture
    """A process of Storage that has its own login and nothing else of the platform's."""
    process = StorageProcess(as_service("storage").model_copy(update={"host": "127.0.0.1", "port": platform}))
    client = httpx.Client(transport=httpx.WSGITransport(process.app), base_url="http://storage")
    yield client
    client.close()
    process.close()


@pytest.fixture
def nowhere(settings):
    """The same, with a database that is away."""
    gone = "postgresql://postgres@127.0.0.1:1/nowhere?connect_timeout=1"
    process = StorageProcess(settings.model_copy(update={"database_url": gone}))
    yield process.app.test_client()
    process.close()


@pytest.fixture
def keys(owner, project):  # noqa: F811 - a fixture
    return owner.get(f"{project}/connection").json()


@pytest.fixture
def project_id(project):  # noqa: F811 - a fixture
    return project.rpartition("/")[2]


def as_who(key):
    return {"Authorization": f"Bearer {key}"}


def test_it_is_healthy_and_serves_projects_by_their_files(alone, project_id, keys):
    assert alone.get("/health").json() == {"status": "healthy", "service": "storage-service"}
    for below in (f"/project/{project_id}/storage/v1", f"/storage/{project_id}"):
        assert alone.get(f"{below}/bucket", headers=as_who(keys["serviceRoleKey"])).json() == []
        assert alone.get(f"{below}/bucket", headers={"apikey": keys["serviceRoleKey"]}).json() == []
        assert alone.get(f"{below}/bucket").json()["statusCode"] == "400"


def test_who_is_not_there_is_said_with_all_members_that_clients_need(alone, keys):
    for below in (f"/project/{NOBODY}/storage/v1", f"/storage/{NOBODY}"):
        answer = alone.get(f"{below}/bucket", headers={"Origin": "https://app.example.org"})
        assert answer.status_code == 404
        assert answer.json().items() >= {"statusCode": "404", "message": "There is no such project"}.items()
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_database_that_is_away_is_worth_another_try(nowhere):
    answer = nowhere.get(f"/storage/{NOBODY}/bucket")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert nowhere.get("/health").status_code == 200


@pytest.fixture
def asleep(project_id, engine, infra, settings):
    """The project's id, once it sleeps."""
    put_to_sleep(engine, infra, project_id, settings.instances_folder)
    return project_id


@pytest.fixture
def works(asleep, worker):  # noqa: F811 - a fixture
    """Somebody who carries out jobs from then on."""
    return worker


@pytest.mark.usefixtures("works")
def test_a_sleeping_project_is_woken_by_way_of_the_platform(alone, asleep, keys, town, sockets, infra):  # noqa: F811
    refused = alone.get(f"/storage/{asleep}/bucket", headers=as_who("x.y.z"))
    assert refused.status_code == 401
    assert wakes(town) == 0
    listens = DataApi(sockets / asleep, lambda: infra.storage.exists(asleep))
    answer = alone.get(f"/project/{asleep}/storage/v1/bucket", headers={**as_who(keys["serviceRoleKey"]), **BROWSER})
    listens.close()
    assert (answer.status_code, answer.json()) == (200, []), answer.text
    assert wakes(town) == 1
