"""compose.yaml, as both generations of Compose read it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest

from infra.pooler.pooler_files import PgBouncerFrame
from infra.secrets import secretfiles
from infra.secrets.services import SERVICES, SUPERUSER, ServiceSecrets
from tests.fixtures.images import CHECKOUT, command

pytestmark = pytest.mark.docker

FILE = CHECKOUT / "compose" / "compose.yaml"
HOME = "/srv/launchdb"
# Nobody but the broker sees Docker, and nobody but these sees more of the home than folders of its own.
WORKERS = {"worker", "worker-bulk"}
PUBLIC = {("reverse-proxy", "80"), ("reverse-proxy", "443")}


@pytest.fixture(scope="module")
def dotenv(tmp_path_factory):
    path = tmp_path_factory.mktemp("compose") / "env"
    path.write_text(
        f"LAUNCHDB_HOME={HOME}\nHOST_CONFIG_DIR={HOME}/postgrest/projects\nDOCKER_GID=998\nDOMAIN=localhost\n"
    )
    return path


@pytest.fixture(scope="module")
def read(images, dotenv) -> dict[str, dict]:
    """The file, with every default and every variable filled in."""
    said = command(
        "docker", "run", "--rm", "--network", "none", "-v", f"{dotenv}:/env:ro", "-v", f"{FILE.parent}:/compose:ro",
        "--user", "0:0", "--entrypoint", "docker", images["host"],
        "compose", "--env-file", "/env", "-p", "launchdb", "-f", "/compose/compose.yaml", "config", "--format", "json",
    )  # fmt: skip
    return json.loads(said.stdout)


@pytest.fixture(scope="module")
def services(read) -> dict[str, dict]:
    """Its services."""
    return read["services"]


@pytest.fixture(scope="module")
def networks(read) -> dict[str, dict]:
    """Its networks."""
    return read["networks"]


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
    assert {name for name, service in services.items() if f"{HOME}/run/broker" in mounts(service)} == {
        "broker",
        "worker",
    }
    assert any(entry.startswith(f"{HOME}/run/broker:") for entry in services["worker-bulk"]["tmpfs"])


def test_each_service_s_secrets_are_a_folder_of_its_own(services):
    for name, service in services.items():
        found = {target: volume for target, volume in mounts(service).items() if "secrets" in target}
        if name in WORKERS:
            assert {volume["source"] for volume in found.values()} == {f"{HOME}/secrets"}
        elif name in SERVICES:
            assert list(found) == [f"{HOME}/secrets"], name
            volume = found[f"{HOME}/secrets"]
            assert (volume["source"], volume["read_only"]) == (f"{HOME}/services/{name}", True), name
        else:
            assert found == {}, name
        given = SERVICES.get(name, ServiceSecrets())
        told = service.get("environment") or {}
        urls = {told.get("LAUNCHDB_DATABASE_URL", ""), told.get("LAUNCHDB_ADMINISTRATOR_URL", "")} - {""}
        logins = {given.login, SUPERUSER if given.administrator else ""} - {""}
        assert {urlsplit(url).username for url in urls} == logins, name


def test_whoever_is_no_worker_sees_folders_of_the_home_and_not_what_they_lie_in(services):
    for name, service in services.items():
        for target, volume in mounts(service).items():
            assert name in WORKERS or target not in (HOME, f"{HOME}/run", f"{HOME}/services", f"{HOME}/postgrest"), name
            if volume["type"] == "bind" and target.startswith(HOME) and not target.endswith("/secrets"):
                assert volume["source"] == target
            if target == f"{HOME}/backups" and name not in WORKERS:
                assert volume["read_only"] is True, name


def test_whoever_sees_the_home_sees_each_folder_that_others_mount_as_a_mount_that_cannot_be_renamed(services):
    """In a container a mount is neither renamed nor removed, so nobody lays a link in the place of another's folder."""
    sources = {
        volume["source"]
        for service in services.values()
        for volume in mounts(service).values()
        if volume["type"] == "bind" and volume["source"].startswith(f"{HOME}/")
    }
    for name in WORKERS:
        here = set(mounts(services[name])) | {entry.partition(":")[0] for entry in services[name]["tmpfs"]}
        # A folder for each service lies in one of root's, in which nobody else renames anything.
        left = {source for source in sources - here if not source.startswith(f"{HOME}/services/")}
        assert left == set(), name
        above = {str(parent) for source in sources for parent in PurePosixPath(source).parents}
        assert {parent for parent in above if parent.startswith(f"{HOME}/")} - here == set(), name


def test_networks_that_lead_out_are_caddy_s_the_workers_and_auth_s_alone(services, networks):
    inner = {name for name, network in networks.items() if network.get("internal")}
    assert inner == {"launchdb-inner", "launchdb-front", "launchdb-files"}
    assert [name for name, service in services.items() if "launchdb-files" in (service.get("networks") or ())] == [
        "storage-service"
    ], "one that leads nowhere, for nobody else: until an object store is named"
    out = {name for name, service in services.items() if set(service.get("networks") or ()) - inner}
    # The manager's port is published to the machine by a network that translates no addresses.
    assert out == {"reverse-proxy", "postgrest-manager", "auth-service", *WORKERS}
    assert set(services["postgrest-manager"]["networks"]) - inner == {"launchdb-loopback"}


def test_no_environment_holds_a_secret(services):
    for name, service in services.items():
        given = service.get("environment") or {}
        assert not set(given) & (set(secretfiles.NAMES) | {"SMTP_PASSWORD", "FILES_S3_SECRET_KEY"}), name
        assert not any(re.search(r"://[^/@]*:[^/@]+@", str(value)) for value in given.values()), name


def test_services_start_in_order_and_no_one_waits_for_a_check_that_comes_seldom(services):
    waits = {
        name: {other for other, how in service.get("depends_on", {}).items() if how["condition"] == "service_started"}
        for name, service in services.items()
    }
    assert waits == {name: set(service.get("depends_on", {})) for name, service in services.items()}
    assert {service["healthcheck"]["interval"] for service in services.values()} == {"30s"}
    assert "postgres" in waits["pgbouncer"]
    assert "postgres" in waits["migrations"]
    assert {"migrations", "pgbouncer"} <= waits["platform-api"]
    assert "platform-api" in waits["postgrest-manager"]
    assert "postgrest-manager" in waits["auth-service"] & waits["storage-service"]
    assert not waits["reverse-proxy"], "it answers clients while the others start"
