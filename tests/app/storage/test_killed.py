"""Killed outright behind each act on disk or database, Storage has done a thing whole or not at all.

Nothing half is ever seen, what was acknowledged stays, and after a sweep there is neither a byte without a row nor a row
without its bytes. A few points of each are tried, by a seed; the whole of them with `--full`.
"""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys

import pytest

from app.storage.sweep import sweep
from tests.fixtures.forked import CHECKOUT

OLD, NEW = b"old content", b"the new content"
TEXT, UPSERT = {"Content-Type": "text/plain"}, {"Content-Type": "text/plain", "X-Upsert": "true"}
LONGEST = 200
TRIED = 2


def tus(key, **more):
    pairs = {"bucketName": "BUCKET", "objectName": key, "contentType": "text/plain"}
    said = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in pairs.items())
    begin = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(NEW)), "Upload-Metadata": said, **more}
    part = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    return [
        ["POST", "/upload/resumable", None, begin],
        ["PATCH", "LOCATION", NEW[:5].decode(), {**part, "Upload-Offset": "0"}],
        ["PATCH", "LOCATION", NEW[5:].decode(), {**part, "Upload-Offset": "5"}],
    ]


def way(**more):
    return {"bucketId": "BUCKET", "sourceKey": "old.txt", "destinationKey": "new.txt", **more}


# What is done, and what may be there afterwards: each key's content before and after it.
CASES = {
    "upload": (
        [["POST", "/object/BUCKET/new.txt", NEW.decode(), TEXT]],
        {"new.txt": (None, NEW), "old.txt": (OLD, OLD)},
    ),
    "upsert": ([["POST", "/object/BUCKET/old.txt", NEW.decode(), UPSERT]], {"old.txt": (OLD, NEW)}),
    "move": ([["POST", "/object/move", way(), {}]], {"old.txt": (OLD, None), "new.txt": (None, OLD)}),
    "copy": ([["POST", "/object/copy", way(), {}]], {"old.txt": (OLD, OLD), "new.txt": (None, OLD)}),
    "copy onto": (
        [["POST", "/object/copy", way(destinationKey="other.txt"), {"X-Upsert": "true"}]],
        {"old.txt": (OLD, OLD), "other.txt": (b"other", OLD)},
    ),
    "delete": ([["DELETE", "/object/BUCKET/old.txt", None, {}]], {"old.txt": (OLD, None)}),
    "delete many": (
        [["DELETE", "/object/BUCKET", {"prefixes": ["old.txt", "other.txt"]}, {}]],
        {"old.txt": (OLD, None), "other.txt": (b"other", None)},
    ),
    "empty": ([["POST", "/bucket/BUCKET/empty", None, {}]], {"old.txt": (OLD, None), "other.txt": (b"other", None)}),
    "resumable": (tus("new.txt"), {"new.txt": (None, NEW), "old.txt": (OLD, OLD)}),
    "resumable onto": (tus("old.txt", **{"X-Upsert": "true"}), {"old.txt": (OLD, NEW)}),
}


@pytest.fixture(scope="module")
def killing(world):
    """Another process, which forks one for each thing that is done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.app.storage.killed"],
        cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdin.write(json.dumps(world.told()) + "\n")

    def do(steps, after):
        process.stdin.write(json.dumps({"do": steps, "after": after}) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    yield do
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def filled(storage):
    bucket = storage.bucket()
    storage.put(bucket, "old.txt", OLD)
    storage.put(bucket, "other.txt", b"other")
    return bucket


def within(bucket, steps):
    text = json.dumps(steps).replace("BUCKET", bucket)
    stated = base64.b64encode(b"BUCKET").decode()
    return json.loads(text.replace(stated, base64.b64encode(bucket.encode()).decode()))


def content_of(storage, bucket, key):
    answer = storage.get(bucket, key)
    return answer.data if answer.status_code == 200 else None


def check(storage, bucket, may_be, *, is_done=False):
    """What is seen is what was before or what is after, of all keys the same: a thing is one transaction."""
    seen = {key: content_of(storage, bucket, key) for key in may_be}
    before = {key: contents[0] for key, contents in may_be.items()}
    after = {key: contents[1] for key, contents in may_be.items()}
    assert seen == after or (not is_done and seen == before)
    listed = {entry["name"] for entry in storage.call("POST", f"/object/list/{bucket}", {"prefix": ""}).json}
    assert {key for key, content in seen.items() if content is not None} == listed & set(may_be)
    return seen


def check_swept(storage):
    """Nothing is left that nobody names, nobody misses anything, and it is counted right."""
    found = sweep(storage.project, storage.services, young_seconds=-3600)
    assert found.missing == []
    assert storage.blobs() == storage.named_blobs()
    assert list(storage.place.partials()) == []
    assert storage.rows("SELECT count(*) FROM storage.launchdb_dead_bytes") == [(0,)]
    assert storage.rows("SELECT sum(objects), sum(bytes) FROM storage.launchdb_usage") == storage.rows(
        "SELECT count(*)::numeric, coalesce(sum(storage.launchdb_size_of(metadata)), 0) FROM storage.objects"
    )


def try_at(storage, killing, name, after):
    """Have it killed there; return whether there was so much to do."""
    steps, may_be = CASES[name]
    bucket = filled(storage)
    said = killing(within(bucket, steps), after)
    assert said in ("killed", "done 0"), said
    seen = check(storage, bucket, may_be, is_done=said != "killed")
    storage.rows("UPDATE storage.launchdb_uploads SET expires_at = now() - interval '1 day' RETURNING id")
    check_swept(storage)
    assert check(storage, bucket, may_be) == seen
    storage.call("POST", f"/bucket/{bucket}/empty")
    storage.call("DELETE", f"/bucket/{bucket}")
    return said == "killed"


@pytest.mark.parametrize("name", CASES)
def test_a_thing_is_done_whole_or_not_at_all(storage, killing, name):
    points = random.Random(name).sample(range(30), TRIED)
    for after in points:
        try_at(storage, killing, name, after)


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_it_is_so_at_every_point(storage, killing, name):
    assert not try_at(storage, killing, name, LONGEST)
    tried = 0
    while try_at(storage, killing, name, tried):
        tried += 1
    assert tried > 5


def test_an_upload_in_parts_goes_on_after_the_process_that_took_them_was_killed(storage, killing):
    (begin, first, last), _ = CASES["resumable"]
    for after in (20, 24):
        bucket = filled(storage)
        begun, *rest = within(bucket, [begin, first, last])
        place = storage.call(*begun[:3], headers=begun[3]).headers["Location"].partition("/storage/v1")[2]
        killing([[method, place, body, headers] for method, _, body, headers in rest], after)
        said = storage.call("HEAD", place, headers={"Tus-Resumable": "1.0.0"})
        offset = int(said.headers["Upload-Offset"])
        assert offset in (0, 5, len(NEW))
        if offset < len(NEW):
            headers = {**rest[0][3], "Upload-Offset": str(offset)}
            assert storage.call("PATCH", place, NEW[offset:], headers=headers).status_code == 204
        assert content_of(storage, bucket, "new.txt") == NEW
    check_swept(storage)
