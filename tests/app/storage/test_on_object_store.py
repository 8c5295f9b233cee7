"""Storage whose bytes are in a real object store: clients notice nothing of it."""

from __future__ import annotations

import base64
import os

import pytest

from app.storage.sweep import sweep
from infra.blobs.object_store import ObjectPlace, ObjectStore
from infra.blobs.places import object_client
from tests.app.storage.s3.test_s3_killed import check_swept
from tests.fixtures.ceph import Ceph

pytestmark = pytest.mark.ceph


@pytest.fixture(scope="module")
def world(world, tmp_path_factory):
    with Ceph(tmp_path_factory.mktemp("ceph") / "node") as ceph:
        client = object_client(ceph.endpoint, "us-east-1", ceph.key, ceph.secret)
        client.create_bucket(Bucket="files")
        place = ObjectPlace(client, "files", tmp_path_factory.mktemp("spool"))
        world.blobs_of = lambda project_id: ObjectStore(place, project_id)
        yield world


def test_objects_come_and_go_whole_and_in_parts(storage):
    bucket, content = storage.bucket(), os.urandom(9_000_000)
    storage.put(bucket, "a", content)
    assert storage.get(bucket, "a").data == content
    part = storage.get(bucket, "a", headers={"Range": "bytes=8999990-"})
    assert (part.status_code, part.data) == (206, content[8_999_990:])
    head = storage.call("HEAD", f"/object/{bucket}/a")
    assert head.headers["Content-Length"] == str(len(content))
    way = {"bucketId": bucket, "sourceKey": "a", "destinationKey": "b"}
    assert storage.call("POST", "/object/copy", way).status_code == 200
    assert storage.call("POST", "/object/move", {**way, "destinationKey": "c"}).status_code == 200
    storage.put(bucket, "c", b"new", X_Upsert="true")
    assert [storage.get(bucket, key).data for key in ("b", "c")] == [content, b"new"]
    assert storage.call("DELETE", f"/object/{bucket}/b").status_code == 200
    assert storage.get(bucket, "b").status_code == 400
    check_swept(storage)


def test_an_upload_goes_on_and_is_whole(storage):
    bucket, content = storage.bucket(), os.urandom(7_000_000)
    said = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}"
        for name, value in {"bucketName": bucket, "objectName": "k"}.items()
    )
    begin = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(content)), "Upload-Metadata": said}
    place = storage.call("POST", "/upload/resumable", headers=begin).headers["Location"].partition("/storage/v1")[2]
    part = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    for start, end in ((0, 6_000_000), (6_000_000, 7_000_000)):
        headers = {**part, "Upload-Offset": str(start)}
        assert storage.call("PATCH", place, content[start:end], headers=headers).status_code == 204
    assert storage.get(bucket, "k").data == content
    storage.rows("UPDATE storage.launchdb_uploads SET expires_at = now() - interval '1 day' RETURNING id")
    check_swept(storage)


def test_the_sweep_finds_bytes_without_a_row_and_rows_without_bytes(storage):
    bucket = storage.bucket()
    storage.put(bucket, "k")
    row = storage.rows("SELECT id, version FROM storage.objects WHERE bucket_id = %s", (bucket,))[0]
    storage.place.copy(f"{row[0]}.{row[1]}", f"{row[0]}.unnamed")
    storage.place.delete(f"{row[0]}.{row[1]}")
    found = sweep(storage.project, storage.services, young_seconds=-3600)
    assert (found.removed, found.missing) == (1, [f"{bucket}/k"])
