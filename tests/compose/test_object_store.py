"""Files of an installation in containers in a real object store, which runs on the machine: brought in, backed up, gone with their project."""

from __future__ import annotations

import json
import os
import secrets

import pytest

from infra.blobs.places import SECRET_FILE, object_client
from infra.host import docker_cli
from scripts.stack.stack import NAMES
from tests.compose.test_settings import dotenv  # noqa: F401 - a fixture
from tests.compose.test_settings_of_services import touches
from tests.compose.test_stack import created, finished, keys, operator  # noqa: F401 - the last is a fixture
from tests.fixtures.ceph import Ceph

pytestmark = [pytest.mark.docker, pytest.mark.ceph]
BUCKET = "launchdb-files"
FILES = {"a.txt": b"one", "below/b.bin": os.urandom(7_000_000)}


@pytest.fixture(scope="module")
def ceph(installation, tmp_path_factory):
    """The store, on the address by which containers that may reach the outside find the machine."""
    shown = json.loads(docker_cli.run_docker("network", "inspect", "launchdb-outward"))
    address = shown[0]["IPAM"]["Config"][0]["Gateway"]
    with Ceph(tmp_path_factory.mktemp("ceph") / "node", address) as running:
        client = object_client(running.endpoint, "us-east-1", running.key, running.secret)
        client.create_bucket(Bucket=BUCKET)
        running.names = lambda project: [
            each["Key"] for each in client.list_objects_v2(Bucket=BUCKET, Prefix=f"{project}/").get("Contents", ())
        ]
        yield running


@pytest.fixture
def stored(installation, dotenv, ceph):  # noqa: F811
    """The installation, told to keep its files there; returns what was made anew for it."""
    told = {"FILES_S3_ENDPOINT": ceph.endpoint, "FILES_S3_BUCKET": BUCKET, "FILES_S3_NETWORK": "outward"}
    half = [word for name, value in told.items() for word in ("--set", f"{name}={value}")]
    said = installation.launchdb("init", *half, code=2).stderr
    assert "FILES_S3_ENDPOINT needs FILES_S3_ACCESS_KEY and FILES_S3_SECRET_KEY" in said
    yield dotenv(**told, FILES_S3_ACCESS_KEY=ceph.key, FILES_S3_SECRET_KEY=ceph.secret)
    (installation.home / "secrets" / SECRET_FILE).unlink()


def test_files_lie_in_an_object_store_and_go_through_a_backup(installation, operator, stored, ceph):  # noqa: F811
    assert stored == touches()["FILES_S3_ENDPOINT"] == {"storage-service", "worker", "worker-bulk"}
    for name in NAMES.values():
        assert ceph.secret not in docker_cli.run_docker("inspect", name)
    project = created(operator, f"files {secrets.token_hex(4)}")["id"]
    key = operator.get(f"/api/projects/{project}/connection").json()["serviceRoleKey"]
    with installation.http(timeout=60) as http:
        http.headers.update(keys(key))
        at = f"/project/{project}/storage/v1"
        assert http.post(f"{at}/bucket", json={"id": "docs", "name": "docs"}).status_code == 200
        for name, content in FILES.items():
            sent = http.post(
                f"{at}/object/docs/{name}", content=content, headers={"Content-Type": "application/octet-stream"}
            )
            assert sent.status_code == 200, sent.text
        assert len(ceph.names(project)) == len(FILES)
        assert list((installation.home / "storage" / project).rglob("*.*")) == [], "no byte lies on the machine"

        def served() -> dict[str, bytes]:
            return {name: http.get(f"{at}/object/docs/{name}").content for name in FILES}

        assert served() == FILES
        listed = http.post(f"{at}/object/list/docs", json={"prefix": ""}).json()
        assert [entry["name"] for entry in listed] == ["a.txt", "below"]

        installation.launchdb("backups", "create", project)
        proven = installation.launchdb("backups", "verify", project)
        assert "is good" in proven.stdout + proven.stderr
        assert http.request("DELETE", f"{at}/object/docs/a.txt").status_code == 200
        assert http.get(f"{at}/object/docs/a.txt").status_code == 400
        installation.launchdb("backups", "restore", project, "--yes")
        assert served() == FILES
    finished(operator, operator.delete(f"/api/projects/{project}", params={"purge": "true"}))
    assert ceph.names(project) == []
