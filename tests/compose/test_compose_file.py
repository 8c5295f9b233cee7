"""compose.yaml, as both generations of Compose read it."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from config.deployment import DeploymentSettings
from config.settings import Settings
from infra.pooler.pooler_files import PgBouncerFrame
from infra.secrets import secretfiles
from tests.fixtures.images import CHECKOUT, command

pytestmark = pytest.mark.docker

FILE = CHECKOUT / "compose" / "compose.yaml"
HOME = "/srv/launchdb"
# Nobody but the broker sees Docker, and these see nothing of the home but their own folders.
CONFINED = {"postgres", "pgbouncer", "redis", "broker", "reverse-proxy", "auth-service", "storage-service"}
PUBLIC = {("reverse-proxy", "80"), ("reverse-proxy", "443")}
# What compose.yaml sets itself, what an operator cannot mean, and what is a file.
NOT_PASSED = {"LAUNCHDB_CRASH", "LAUNCHDB_PROJECT_MIGRATIONS", "LAUNCHDB_POSTGRES_BIN", "LAUNCHDB_SERVICE_FOLDER"} | {
    "LAUNCHDB_PROCFILE", "LAUNCHDB_FORMATION", "LAUNCHDB_PORT", "LAUNCHDB_DOCKER_SOCKET", "LAUNCHDB_HOST_ROOT", "SMTP_PASSWORD"
}  # fmt: skip


@pytest.fixture(scope="module")
def dotenv(tmp_path_factory):
    path = tmp_path_factory.mktemp("compose") / "env"
    path.write_text(
        f"LAUNCHDB_HOME={HOME}\nHOST_CONFIG_DIR={HOME}/postgrest/projects\nDOCKER_GID=998\nDOMAIN=localhost\n"
    )
    return path


@pytest.fixture(scope="module")
def services(images, dotenv) -> dict[str, dict]:
    """The services, with every default and every variable filled in."""
    said = command(
        "docker", "run", "--rm", "--network", "none", "-v", f"{dotenv}:/env:ro", "-v", f"{FILE.parent}:/compose:ro",
        "--user", "0:0", "--entrypoint", "docker", images["host"],
        "compose", "--env-file", "/env", "-p", "launchdb", "-f", "/compose/compose.yaml", "config", "--format", "json",
    )  # fmt: skip
    return json.loads(said.stdout)["services"]


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="this machine has no Compose 1.29")
def test_the_older_compose_reads_it_without_a_word(dotenv):
    done = command("docker-compose", "--env-file", dotenv, "-p", "launchdb", "-f", FILE, "config", "-q")
    assert done.stderr == ""


def test_without_a_home_it_says_what_to_do(tmp_path):
    empty = tmp_path / "env"
    empty.write_text("")
    if shutil.which("docker-compose"):
        done = command("docker-compose", "--env-file", empty, "-p", "launchdb", "-f", FILE, "config", check=False)
        assert done.returncode != 0
        assert "run launchdb init first" in done.stderr


def test_only_caddy_is_published_and_the_manager_on_loopback(services):
    published = {
        (name, str(port["published"]), port.get("host_ip", ""))
        for name, service in services.items()
        for port in service.get("ports", ())
    }
    assert {entry[:2] for entry in published if entry[2] != "127.0.0.1"} == PUBLIC
    assert {entry for entry in published if entry[2] == "127.0.0.1"} == {("postgrest-manager", "9000", "127.0.0.1")}


def test_every_service_has_limits_rotation_restart_and_grace(services):
    for name, service in services.items():
        assert int(service["mem_limit"]) > 0, name
        assert float(service["cpus"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}, name
        assert service["restart"] == "unless-stopped", name
        assert service["stop_grace_period"] == "35s", name
        assert service["healthcheck"]["test"], name
        assert service["ulimits"]["nofile"]["soft"] >= 2 * PgBouncerFrame.max_clients, name


def test_every_service_is_confined(services):
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] == ("10002:10002" if name == "pgbouncer" else "10001:10001"), name
        assert not {"privileged", "pid", "ipc", "cap_add", "devices"} & set(service), name


def test_containers_have_the_names_of_the_guide(services):
    names = {service["container_name"] for service in services.values()}
    assert names == {
        f"launchdb-{name}"
        for name in (
            "postgres", "pgbouncer", "platform-api", "postgrest-manager", "migrations", "auth-service", "storage-service",
            "caddy", "backup", "redis", "worker", "worker-bulk", "scheduler", "broker",
        )
    }  # fmt: skip


def mounts(service: dict) -> dict[str, dict]:
    return {volume["target"]: volume for volume in service.get("volumes", ())}


def test_docker_s_socket_is_the_broker_s_alone(services):
    assert [name for name, service in services.items() if "/var/run/docker.sock" in mounts(service)] == ["broker"]
    assert services["broker"]["network_mode"] == "none"
    assert services["broker"]["group_add"] == ["998"]
    for name in ("platform-api", "worker-bulk", "backup"):
        assert any(entry.startswith(f"{HOME}/run/broker:") for entry in services[name]["tmpfs"]), name


def test_whoever_needs_little_sees_little_of_the_home(services):
    for name in CONFINED:
        assert HOME not in mounts(services[name]), name
        for target, volume in mounts(services[name]).items():
            if "/secrets" in target:
                assert volume.get("read_only") is True, name
    assert not any(
        "/secrets" in target
        for name in ("pgbouncer", "redis", "broker", "reverse-proxy")
        for target in mounts(services[name])
    )
    for service in services.values():
        for target, volume in mounts(service).items():
            if volume["type"] == "bind" and target.startswith(HOME):
                assert volume["source"] == target


def test_no_environment_holds_a_secret(services):
    for name, service in services.items():
        given = service.get("environment") or {}
        assert not set(given) & (set(secretfiles.NAMES) | {"SMTP_PASSWORD"}), name
        assert not any(re.search(r"://[^/@]*:[^/@]+@", str(value)) for value in given.values()), name


def test_every_setting_reaches_our_services(services):
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert {str(field.validation_alias) for field in DeploymentSettings.model_fields.values()} <= known
    assert set(services["platform-api"]["environment"]) == known - NOT_PASSED


def test_services_start_in_order_and_wait_for_health(services):
    waits = {
        name: {other for other, how in service.get("depends_on", {}).items() if how["condition"] == "service_healthy"}
        for name, service in services.items()
    }
    assert "postgres" in waits["pgbouncer"]
    assert "postgres" in waits["migrations"]
    assert {"migrations", "pgbouncer"} <= waits["platform-api"]
    assert "platform-api" in waits["postgrest-manager"]
    assert "postgrest-manager" in waits["auth-service"] & waits["storage-service"]
    assert {"auth-service", "storage-service"} <= waits["reverse-proxy"]
