"""The disk is full in the middle: who stores is told, what is there stays, and nothing half is left."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.app.storage.pictures import noise, seen
from tests.app.storage.test_killed import check_swept
from tests.app.storage.test_resumable import begin, offset_of, part, place_of
from tests.crash.test_fleet_of_backups import mounted

RAW = {"Content-Type": "text/plain"}
MB = 1024 * 1024


@pytest.fixture
def small(storage, tmp_path):
    """The project's bytes lie on a disk of four megabytes."""
    usual, storage.folder = storage.folder, mounted(tmp_path / "disk", 4)
    yield storage
    for bucket in storage.call("GET", "/bucket").json:
        storage.call("POST", f"/bucket/{bucket['id']}/empty")
    subprocess.run(["umount", storage.folder], check=True)
    storage.folder = usual


def test_who_stores_on_a_full_disk_is_told_and_nothing_half_is_left(small):
    bucket, content = small.bucket(), os.urandom(2 * MB)
    small.put(bucket, "kept", content)
    small.put(bucket, "old", b"old")
    blobs = small.blobs()
    for method, key in (("POST", "new"), ("PUT", "old"), ("PUT", "kept")):
        answer = small.call(method, f"/object/{bucket}/{key}", os.urandom(3 * MB), headers=RAW)
        assert (answer.status_code, answer.json["error"]) == (507, "Insufficient Storage"), answer.text
        assert (small.blobs(), list(small.place.partials())) == (blobs, [])
    assert (small.get(bucket, "kept").data, small.get(bucket, "old").data) == (content, b"old")
    assert small.get(bucket, "new").json["error"] == "not_found"
    # What needs no room goes on.
    way = {"bucketId": bucket, "sourceKey": "kept", "destinationKey": "second"}
    assert small.call("POST", "/object/copy", way).status_code == 200
    assert small.call("POST", "/object/move", {**way, "destinationKey": "third"}).status_code == 200
    check_swept(small)


def test_an_upload_in_parts_that_found_no_room_goes_on_once_there_is_some(small):
    bucket, content = small.bucket(), os.urandom(3 * MB)
    small.put(bucket, "filler", os.urandom(2 * MB))
    upload = place_of(small, begin(small, bucket, "large", len(content)))
    assert part(small, upload, 0, content).status_code == 507
    offset = offset_of(small, upload)
    assert 0 <= offset < len(content)
    assert small.get(bucket, "large").json["error"] == "not_found"
    assert small.call("DELETE", f"/object/{bucket}/filler").status_code == 200
    assert part(small, upload, offset, content[offset:]).status_code == 204
    assert small.get(bucket, "large").data == content
    check_swept(small)


def test_pictures_are_made_though_none_can_be_kept(small):
    bucket = small.bucket()
    small.put(bucket, "p.png", noise(), Content_Type="image/png")
    filler = 4 * MB
    while filler > 4096:  # to the last page
        if small.call("POST", f"/object/{bucket}/f{filler}", os.urandom(filler), headers=RAW).status_code != 200:
            filler //= 2
    for _ in range(2):
        answer = small.call("GET", f"/render/image/authenticated/{bucket}/p.png?width=300&format=webp")
        assert (answer.status_code, seen(answer.data)) == (200, ("webpload", 300, 225))
