"""Bytes in an S3-compatible object store: held against a real one, Ceph's."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest

from config.settings import Settings, load
from infra import files
from infra.blobs.object_store import ObjectPlace, ObjectStore
from infra.blobs.places import blob_places, object_client
from infra.errors import Refused, Unavailable
from infra.files import ensure_folder
from tests.fixtures.ceph import Ceph
from tests.infra.blobs.conformance import BlobStoreConformance, content_of, new_name, put

pytestmark = pytest.mark.ceph
MB = 1024 * 1024


@pytest.fixture(scope="module")
def ceph(tmp_path_factory):
    with Ceph(tmp_path_factory.mktemp("ceph") / "node") as server:
        yield server


@pytest.fixture(scope="module")
def client(ceph):
    made = object_client(ceph.endpoint, "us-east-1", ceph.key, ceph.secret)
    made.create_bucket(Bucket="files")
    return made


@pytest.fixture
def store(client, tmp_path):
    return ObjectPlace(client, "files", tmp_path / "spool")


@pytest.fixture
def place(store):
    return ObjectStore(store, f"proj_{uuid.uuid4().hex[:16]}")


@pytest.fixture
def other(store):
    return ObjectStore(store, f"proj_{uuid.uuid4().hex[:16]}")


class TestObjectStore(BlobStoreConformance):
    """The conformance of an object store."""


def test_a_large_blob_goes_in_parts_and_is_copied_by_the_store(place):
    content = os.urandom(20 * MB)
    name, copied = put(place, content), new_name()
    place.copy(name, copied)
    assert content_of(place, copied) == content


def test_another_machine_goes_on_with_what_one_has_kept(place, client, tmp_path):
    partial, name = str(uuid.uuid4()), new_name()
    writer = place.resume(partial, 0)
    writer.write(b"a" * 100)
    writer.keep()
    elsewhere = ObjectStore(ObjectPlace(client, "files", tmp_path / "elsewhere"), place._project)
    writer = elsewhere.resume(partial, 50)
    writer.write(b"b" * 50)
    writer.keep()
    writer = place.resume(partial, 100)
    writer.write(b"c")
    writer.commit(name)
    assert content_of(place, name) == b"a" * 50 + b"b" * 50 + b"c"
    assert list(place.partials()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from infra.blobs.object_store import ObjectPlace, ObjectStore
from infra.blobs.places import object_client
endpoint, key, secret, project, spool, name, acts = sys.stdin.read().split()
client = object_client(endpoint, "us-east-1", key, secret)
left = int(acts)
def die(**_given):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
client.meta.events.register("before-send.s3", die)
writer = ObjectStore(ObjectPlace(client, "files", Path(spool)), project).begin()
for _ in range(20):
    writer.write(os.urandom(1024 * 1024))
writer.commit(name)
"""


@pytest.mark.parametrize("acts", [0, 1, 2, 3])
def test_who_is_killed_in_the_middle_leaves_nothing_to_be_seen(place, ceph, client, tmp_path, acts):
    name = new_name()
    said = (ceph.endpoint, ceph.key, ceph.secret, place._project, str(tmp_path / "spool"), name, str(acts))
    done = subprocess.run([sys.executable, "-c", KILLED], input=" ".join(said), text=True, check=False, timeout=120)
    assert done.returncode == -9
    assert list(place.blobs()) == []
    assert [path.name for path in (tmp_path / "spool").iterdir() if path.stat().st_size] == []
    place.remove_all()
    assert client.list_multipart_uploads(Bucket="files", Prefix=place._project).get("Uploads", []) == []


def test_a_store_that_is_away_or_refuses_is_said_to_be_away_without_a_secret(tmp_path, ceph, client):
    for endpoint, secret in (("http://127.0.0.1:9", "x" * 32), (ceph.endpoint, "wrong-secret-of-ours")):
        away = ObjectStore(ObjectPlace(object_client(endpoint, "us-east-1", ceph.key, secret), "files", tmp_path), "p")
        with pytest.raises(Unavailable) as error:
            put(away, b"x")
        assert secret not in str(error.value) + repr(error.value.__cause__)


def test_settings_choose_the_place(ceph, client, tmp_path):
    names = {"LAUNCHDB_HOME": str(tmp_path), "FILES_S3_ENDPOINT": ceph.endpoint, "FILES_S3_BUCKET": "files",
             "FILES_S3_ACCESS_KEY": ceph.key, "FILES_S3_SECRET_KEY": ceph.secret}  # fmt: skip
    chosen = Settings.model_validate(names)
    assert ceph.secret not in repr(chosen)
    place = blob_places(chosen)("proj_0123456789abcdef")
    name = put(place, b"x")
    assert [
        each["Key"] for each in client.list_objects_v2(Bucket="files", Prefix="proj_0123456789abcdef")["Contents"]
    ] == [f"proj_0123456789abcdef/objects/{name}"]
    here = blob_places(Settings.model_validate({"LAUNCHDB_HOME": str(tmp_path)}))("proj_0123456789abcdef")
    put(here, b"x")
    assert len(list((tmp_path / "storage").rglob("*.*"))) == 1


def test_the_secret_is_its_file_s_and_another_one_is_good_at_once(ceph, client, tmp_path):
    told = {
        "FILES_S3_ENDPOINT": ceph.endpoint, "FILES_S3_BUCKET": "files", "FILES_S3_ACCESS_KEY": ceph.key,
        "LAUNCHDB_HOME": str(tmp_path),
    }  # fmt: skip
    file = ensure_folder(tmp_path / "secrets", mode=0o700) / "FILES_S3_SECRET_KEY"
    files.replace(file, "not the one\n")
    places = blob_places(load(told, recall=False))
    with pytest.raises(Unavailable):
        put(places("proj_00000000000000aa"), b"x")
    files.replace(file, f"{ceph.secret}\n")
    put(places("proj_00000000000000aa"), b"x")
    file.chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        places("proj_00000000000000aa")
    file.unlink()
    with pytest.raises(Refused, match="the secret FILES_S3_SECRET_KEY is missing"):
        places("proj_00000000000000aa")
