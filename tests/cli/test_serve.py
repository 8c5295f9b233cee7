"""launchdb serve: each service on its own address and port, which its log names."""

from __future__ import annotations

import signal
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.fixtures.servers import wait_until

# An address of this test's own, so that nothing else that runs here is in the way.
INSIDE = "127.83.11.7"
SERVICES = {
    "manager": (9000, "Manager API listening on port 9000", "postgrest-manager"),
    "migrations": (8002, "Migrations service listening on port 8002", "migrations"),
    "auth": (8001, "Auth service listening on port 8001", "auth-service"),
    "storage": (8003, "Storage service listening on port 8003", "storage-service"),
}


@pytest.fixture
def proven(infra):
    """An installation whose master key is sealed."""
    with infra.database.transaction() as tx:
        infra.vault.check_master_key(tx)


@contextmanager
def served(launchdb, service, tmp_path):
    """Run the service; give its log."""
    log = tmp_path / f"{service}.log"
    with log.open("w") as file, launchdb.start("serve", service, log=file) as process:
        try:
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def says(log, *lines) -> None:
    """Wait until the log says all of it; one that does not is shown."""
    try:
        wait_until(lambda: all(line in log.read_text() for line in lines))
    except AssertionError:
        raise AssertionError(log.read_text()) from None


def test_inner_services_listen_where_they_are_told_and_say_so(launchdb, proven, tmp_path):
    launchdb.environment["LAUNCHDB_INTERNAL_HOST"] = INSIDE
    with ExitStack() as running:
        logs = {service: running.enter_context(served(launchdb, service, tmp_path)) for service in SERVICES}
        for service, (port, line, name) in SERVICES.items():
            says(logs[service], line, "connected to the platform database")
            assert httpx.get(f"http://{INSIDE}:{port}/health").json() == {"status": "healthy", "service": name}


def test_the_platform_api_says_its_port_and_that_it_is_connected(launchdb, proven, tmp_path):
    with served(launchdb, "platform", tmp_path) as log:
        port = launchdb.environment["LAUNCHDB_PORT"]
        says(log, f"Platform API listening on port {port}", "connected to the platform database")


def test_a_held_service_needs_no_secret(launchdb, home, tmp_path):
    for secret in (home / "secrets").iterdir():
        secret.unlink()
    launchdb.environment["LAUNCHDB_INTERNAL_HOST"] = "127.83.11.8"
    with served(launchdb, "auth", tmp_path):
        wait_until(lambda: answers("http://127.83.11.8:8001/health"))
    with served(launchdb, "storage", tmp_path):
        wait_until(lambda: answers("http://127.83.11.8:8003/health"))


def answers(url) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False
