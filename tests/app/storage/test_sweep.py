"""What somebody who was killed has left: found, and removed where nobody can want it."""

from __future__ import annotations

import time
import uuid

import pytest

from app.storage.sweep import YOUNG_SECONDS, sweep
from infra.blobs.store import blob_name


@pytest.fixture
def swept(storage):
    """Sweep as it would be so long after all that was done."""

    def later(seconds=YOUNG_SECONDS + 60.0):
        storage.now = lambda: time.time() + seconds
        return sweep(storage.project, storage.services)

    return later


def put_bytes(storage, content=b"nobody's"):
    name, writer = blob_name(str(uuid.uuid4()), str(uuid.uuid4())), storage.place.begin()
    writer.write(content)
    writer.commit(name)
    return name


def test_what_is_whole_stays(storage, swept):
    bucket = storage.bucket()
    storage.put(bucket, "a.txt", b"kept")
    storage.call("POST", "/object/copy", {"bucketId": bucket, "sourceKey": "a.txt", "destinationKey": "b.txt"})
    found = swept()
    assert (found.removed, found.dropped, found.missing) == (0, 0, [])
    assert storage.get(bucket, "a.txt", bearer=storage.key("service_role", exp=time.time() + 9000)).data == b"kept"


def test_bytes_without_a_row_go_once_nobody_can_be_about_to_name_them(storage, swept):
    name = put_bytes(storage)
    assert swept(YOUNG_SECONDS - 60).removed == 0
    assert name in storage.blobs()
    assert swept().removed == 1
    assert name not in storage.blobs()


def test_a_copy_that_is_just_being_made_stays_however_old_its_content_is(storage, swept):
    bucket = storage.bucket()
    storage.put(bucket, "a.txt")
    source = next(iter(storage.named_blobs()))
    target = blob_name(str(uuid.uuid4()), str(uuid.uuid4()))
    time.sleep(1.1)
    storage.place.copy(source, target)
    storage.now = time.time
    assert sweep(storage.project, storage.services, young_seconds=0.5).removed == 0
    assert target in storage.blobs()
    storage.place.delete(target)


def test_a_row_without_bytes_is_named_and_stays(storage, swept):
    bucket = storage.bucket()
    storage.put(bucket, "lost.txt")
    storage.put(bucket, "short.txt", b"as many as this")
    rows = storage.rows("SELECT name, id, version FROM storage.objects WHERE bucket_id = %s", (bucket,))
    names = {name: blob_name(str(object_id), version) for name, object_id, version in rows}
    storage.place.delete(names["lost.txt"])
    next(storage.folder.rglob(names["short.txt"])).write_bytes(b"fewer")
    assert sorted(swept().missing) == [f"{bucket}/lost.txt", f"{bucket}/short.txt"]
    storage.now = time.time
    assert storage.get(bucket, "lost.txt").json["error"] == "not_found"
    assert storage.call("GET", f"/object/info/{bucket}/lost.txt").status_code == 200
    assert storage.call("POST", f"/bucket/{bucket}/empty").status_code == 200


def test_a_row_that_was_made_by_hand_reaches_no_other_file(storage, swept):
    bucket = storage.bucket()
    storage.put(bucket, "mine.txt", b"mine")
    ((version,),) = storage.rows("SELECT version FROM storage.objects WHERE bucket_id = %s", (bucket,))
    for number, stolen in enumerate([version, "../../secret", "/etc/passwd", "", None]):
        storage.rows(
            "INSERT INTO storage.objects (bucket_id, name, version) VALUES (%s, %s, %s) RETURNING id",
            (bucket, f"{number}", stolen),
        )
        assert storage.get(bucket, f"{number}").json["error"] == "not_found"
    assert len(swept().missing) == 5
    storage.now = time.time
    assert storage.call("DELETE", f"/object/{bucket}", {"prefixes": [str(n) for n in range(5)]}).status_code == 200
    assert storage.get(bucket, "mine.txt").data == b"mine"


def test_bytes_whose_removal_was_not_finished_go_at_once(storage, swept):
    bucket = storage.bucket()
    storage.put(bucket, "a.txt")
    with storage.tenant.connect(storage.tenant.roles.storage) as connection, connection.transaction():
        connection.execute("SET LOCAL storage.allow_delete_query = 'true'")
        connection.execute("DELETE FROM storage.objects WHERE bucket_id = %s", (bucket,))
    assert storage.blobs() != storage.named_blobs()
    assert swept(0.0).removed == 1
    assert storage.blobs() == storage.named_blobs()
    assert storage.rows("SELECT count(*) FROM storage.launchdb_dead_bytes") == [(0,)]


def test_uploads_that_nobody_went_on_with_go_after_a_day(storage, swept):
    left = str(uuid.uuid4())
    storage.place.resume(left, 0).keep()
    assert swept(YOUNG_SECONDS - 60).dropped == 0
    assert swept().dropped == 1
    assert list(storage.place.partials()) == []


def test_what_is_kept_is_counted(storage):
    (before,) = storage.rows("SELECT sum(objects), sum(bytes) FROM storage.launchdb_usage")
    bucket = storage.bucket()
    storage.put(bucket, "a.txt", b"12345")
    storage.put(bucket, "a.txt", b"123", x_upsert="true")
    storage.put(bucket, "b.txt", b"1")
    storage.call("POST", "/object/copy", {"bucketId": bucket, "sourceKey": "a.txt", "destinationKey": "c.txt"})
    storage.call("POST", "/object/move", {"bucketId": bucket, "sourceKey": "c.txt", "destinationKey": "d.txt"})
    assert storage.rows("SELECT sum(objects), sum(bytes) FROM storage.launchdb_usage") == [
        (before[0] + 3, before[1] + 7)
    ]
    storage.call("POST", f"/bucket/{bucket}/empty")
    assert storage.rows("SELECT sum(objects), sum(bytes) FROM storage.launchdb_usage") == [before]
