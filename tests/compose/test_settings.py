"""A line of `.env` changed while clients ask: `launchdb up --docker` makes anew who goes by it, and nobody's request fails."""

from __future__ import annotations

import json
import secrets
from contextlib import closing

import pytest

from infra import files
from infra.host import docker_cli
from infra.host.home import LAUNCHDB
from infra.secrets import secretfiles
from scripts.stack.stack import NAMES
from tests.compose.clients import Clients
from tests.compose.test_settings_of_services import touches
from tests.compose.test_stack import finished

pytestmark = pytest.mark.docker


def ids() -> dict[str, str]:
    """Each service's container, and since when it runs: a restart tells as well."""
    shown = json.loads(docker_cli.run_docker("inspect", *NAMES.values()))
    by_name = {one["Name"].lstrip("/"): f"{one['Id']} {one['State']['StartedAt']}" for one in shown}
    return {service: by_name[name] for service, name in NAMES.items()}


@pytest.fixture
def dotenv(installation):
    """Changes lines of `.env` as an operator does, and brings them in force; what was there comes back."""
    path = installation.home / ".env"
    before = path.read_text()

    def change(**values: str) -> set[str]:
        """Return the services that were made anew or started again."""
        known = ids()
        files.replace(path, secretfiles.with_lines(path.read_text(), values), owner=(LAUNCHDB, LAUNCHDB))
        installation.launchdb("up", "--docker", "--detach")
        return {service for service, one in ids().items() if one != known[service]}

    yield change
    files.replace(path, before, owner=(LAUNCHDB, LAUNCHDB))
    installation.launchdb("up", "--docker", "--detach")


@pytest.fixture
def clients(installation):
    """Clients of data API, Auth, Storage and platform, all the time; nothing may happen to them."""
    project, key = installation.operator["projectId"], installation.operator["anonKey"]
    below = ("/rest/v1/todos?select=title", "/auth/v1/health", "/storage/v1/status")
    addresses = [*(f"/project/{project}{path}" for path in below), "/api/health"]
    with Clients(installation, [(path, key) for path in addresses], threads=4) as asking:
        yield asking
    print(f"while settings changed: {asking}")
    assert asking.failures == []
    assert asking.answered > 0


def test_a_changed_setting_makes_anew_who_goes_by_it_and_fails_no_request(installation, dotenv, clients):
    email, password = f"{secrets.token_hex(6)}@launchdb.test", secrets.token_urlsafe(18)
    installation.launchdb("owners", "create", email, "--password-stdin", stdin=f"{password}\n")

    assert dotenv(MAX_PROJECTS_PER_OWNER="1") == touches()["MAX_PROJECTS_PER_OWNER"] == {"platform-api"}
    with installation.http(timeout=60) as owner:
        signed_in = owner.post("/api/auth/login", json={"email": email, "password": password})
        owner.headers["Authorization"] = f"Bearer {signed_in.json()['accessToken']}"
        first, second = (owner.post("/api/projects", json={"name": name}) for name in ("one", "two"))
        assert (first.status_code, second.status_code) == (202, 403)
        finished(owner, first)
        finished(owner, owner.delete(f"/api/projects/{first.json()['project']['id']}", params={"purge": "true"}))

    assert dotenv(SMTP_HOST="mail.launchdb.test", SMTP_FROM="ops@launchdb.test") == touches()["SMTP_HOST"]
    with closing(installation.signed_in()) as operator:
        asked = operator.post("/api/admin/owners/invitations", json={"email": f"new-{email}"})
        assert asked.json()["mailed"] is True
    assert clients.answered > 0


def test_a_start_after_which_nothing_differs_makes_nothing_anew(dotenv):
    assert dotenv() == set()


def test_settings_that_are_wrong_change_nothing_that_runs(installation):
    path, known = installation.home / ".env", ids()
    before = path.read_text()
    wrong = secretfiles.with_lines(before, {"LAUNCHDB_BEAT_SECONDS": "14"})
    files.replace(path, wrong, owner=(LAUNCHDB, LAUNCHDB))
    try:
        said = installation.launchdb("up", "--docker", "--detach", code=2).stderr
    finally:
        files.replace(path, before, owner=(LAUNCHDB, LAUNCHDB))
    assert "LAUNCHDB_LEASE_SECONDS must exceed" in said
    assert ids() == known
