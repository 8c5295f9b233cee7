"""Auth as a service of its own: with its own login alone, and the platform API to wake who sleeps."""

from __future__ import annotations

import socket
import tempfile
import threading
from pathlib import Path

import httpx
import pytest
from flask import Flask
from werkzeug.serving import make_server

from app.auth.standalone import AuthProcess
from app.edge import edge
from app.edge.wake_on_request import WakeOnRequest
from app.http.context import EXTENSION, AppContext
from app.platform.projects.statuses import status_of
from jobs.requests import lifecycle
from tests.app.test_lifecycle import project  # noqa: F401 - a fixture
from tests.app.test_sleep import put_to_sleep, wakes, worker  # noqa: F401 - fixtures
from tests.fixtures.servers import wait_until

BROWSER = {"User-Agent": "Mozilla/5.0"}


class DataApi:
    """Listens where a project's container would, once the project has been woken."""

    def __init__(self, folder, woken) -> None:
        self._folder, self._woken, self._socket = folder, woken, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wait_until(self._woken, seconds=20)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._folder / "api.sock"))
        self._socket.listen()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


@pytest.fixture
def sockets():
    """A folder for each project's socket, whose paths are short enough."""
    with tempfile.TemporaryDirectory(prefix="ldb") as folder:
        yield Path(folder)


@pytest.fixture
def platform(sockets, infra_as):
    """The platform API's route for those who stand before projects, on a port of its own."""
    opened = infra_as("api")
    app = Flask("platform")
    world = app.extensions[EXTENSION] = AppContext(opened.settings, opened)
    held = WakeOnRequest(opened.settings, opened)
    app.register_blueprint(edge.make_blueprint(sockets, lambda project_id: status_of(app, project_id), held))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    world.close()


@pytest.fixture
def alone(as_service, platform):
    """A process of Auth that has its own login and nothing else of the platform's."""
    chosen = as_service("auth").model_copy(update={"host": "127.0.0.1", "port": platform})
    process = AuthProcess(chosen)
    client = httpx.Client(transport=httpx.WSGITransport(process.app), base_url="http://auth")
    yield client
    client.close()
    process.close()


@pytest.fixture
def keys(owner, project):  # noqa: F811 - a fixture
    return owner.get(f"{project}/connection").json()


@pytest.fixture
def project_id(project):  # noqa: F811 - a fixture
    return project.rpartition("/")[2]


def asked(client, project_id, key, path="/settings", **headers):
    known = {"apikey": key, "Authorization": f"Bearer {key}"} if key else {}
    return client.get(f"/project/{project_id}/auth/v1{path}", headers={**known, **headers})


def test_it_is_healthy_counts_and_serves_projects_by_their_files(alone, project_id, keys):
    assert alone.get("/health").json() == {"status": "healthy", "service": "auth-service"}
    assert asked(alone, project_id, keys["anonKey"]).json()["external"]["email"] is True
    assert asked(alone, project_id, None).status_code == 401
    assert "launchdb_auth_refusals_total" in alone.get("/metrics").text
    assert asked(alone, "proj_" + "0" * 16, keys["anonKey"]).status_code == 404


@pytest.fixture
def asleep(project_id, engine, infra, settings):
    """The project's id, once it sleeps."""
    put_to_sleep(engine, infra, project_id, settings.instances_folder)
    return project_id


@pytest.fixture
def data_api(asleep, sockets, infra):
    """What listens for its data API once it is woken."""
    made = DataApi(sockets / asleep, lambda: infra.auth.exists(asleep))
    yield made
    made.close()


@pytest.mark.parametrize("path", ["/settings", "/verify?token=x&type=signup"])
@pytest.mark.usefixtures("data_api", "worker")
def test_a_sleeping_project_is_woken_by_way_of_the_platform(alone, asleep, keys, town, path):
    answer = asked(alone, asleep, keys["anonKey"] if path == "/settings" else None, path, **BROWSER)
    assert answer.status_code in (200, 403), answer.text  # a link that nobody was sent
    assert wakes(town) == 1


def test_who_has_no_good_key_wakes_nobody_and_hears_it_in_auths_words(alone, asleep, keys, town):
    refused = asked(alone, asleep, "x.y.z")
    assert (refused.status_code, refused.json()["error_code"]) == (401, "invalid_api_key")
    missing = asked(alone, asleep, None)
    assert (missing.status_code, missing.json()["error_code"]) == (401, "no_api_key")
    assert asked(alone, asleep, keys["anonKey"], "/health").status_code == 503
    assert wakes(town) == 0


def test_a_paused_project_says_so(alone, project_id, keys, engine, infra):
    with infra.database.transaction() as tx:
        lifecycle.pause(tx, project_id)
    engine.runner.drain()
    paused = asked(alone, project_id, keys["anonKey"])
    assert (paused.status_code, paused.json()["msg"]) == (503, "The project is paused")


def test_a_platform_that_is_away_is_worth_another_try(asleep, keys, as_service):
    process = AuthProcess(as_service("auth").model_copy(update={"host": "127.0.0.1", "port": 1}))
    with httpx.Client(transport=httpx.WSGITransport(process.app), base_url="http://auth") as client:
        answer = asked(client, asleep, keys["anonKey"])
    process.close()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
