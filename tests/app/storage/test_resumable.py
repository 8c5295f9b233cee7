"""Uploads that come in parts, as tus-js-client sends them."""

from __future__ import annotations

import base64
import json
import time
import uuid

import pytest

TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


def stated(bucket, key, **more):
    said = {"bucketName": bucket, "objectName": key, "contentType": "text/plain", "cacheControl": "3600", **more}
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())


def begin(storage, bucket, key, length, *, path="/upload/resumable", content=None, bearer="service_role", **headers):
    sent = {**(PART if content is not None else TUS), "Upload-Length": str(length)}
    sent["Upload-Metadata"] = headers.pop("stated", stated(bucket, key))
    return storage.call("POST", path, content, bearer=bearer, headers=sent | headers)


def place_of(storage, answer):
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"].removeprefix(f"{storage.spec.url}/storage/v1")


def part(storage, place, offset, content, bearer="service_role", **headers):
    sent = {**PART, "Upload-Offset": str(offset), **headers}
    return storage.call("PATCH", place, content, bearer=bearer, headers=sent)


def offset_of(storage, place, bearer="service_role"):
    answer = storage.call("HEAD", place, bearer=bearer, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def test_an_object_is_there_once_its_last_part_has_come(storage):
    bucket = storage.bucket()
    place = place_of(storage, begin(storage, bucket, "a/b.txt", 10))
    assert offset_of(storage, place) == 0
    answer = part(storage, place, 0, b"01234")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "5")
    assert storage.get(bucket, "a/b.txt").status_code == 400
    assert offset_of(storage, place) == 5
    assert part(storage, place, 5, b"56789").status_code == 204
    answer = storage.get(bucket, "a/b.txt")
    assert answer.data == b"0123456789"
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Cache-Control"] == "max-age=3600"
    assert offset_of(storage, place) == 10
    assert place.rpartition("/")[2] not in {entry.name for entry in storage.place.partials()}


def test_the_first_bytes_may_come_with_the_request_that_begins(storage):
    bucket = storage.bucket()
    answer = begin(storage, bucket, "a.txt", 5, content=b"hello")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5")
    assert storage.get(bucket, "a.txt").data == b"hello"


def test_an_empty_file_is_whole_at_once(storage):
    bucket = storage.bucket()
    assert begin(storage, bucket, "empty", 0).status_code == 201
    assert storage.get(bucket, "empty").data == b""


def test_the_clients_metadata_are_kept(storage):
    bucket = storage.bucket()
    said = stated(bucket, "m.txt", metadata=json.dumps({"by": "me"}))
    begin(storage, bucket, "m.txt", 2, content=b"ab", stated=said)
    found = storage.call("GET", f"/object/info/{bucket}/m.txt").json
    assert (found["metadata"], found["size"]) == ({"by": "me"}, 2)


def test_a_wrong_offset_is_a_conflict_and_changes_nothing(storage):
    bucket = storage.bucket()
    place = place_of(storage, begin(storage, bucket, "a.txt", 10))
    part(storage, place, 0, b"01234")
    for offset in (0, 3, 6):
        assert part(storage, place, offset, b"x").status_code == 409
    assert offset_of(storage, place) == 5


def test_more_than_was_said_is_refused_and_what_was_right_stays(storage):
    place = place_of(storage, begin(storage, storage.bucket(), "a.txt", 3))
    part(storage, place, 0, b"01")
    assert part(storage, place, 2, b"too much").status_code == 413
    assert offset_of(storage, place) == 2


@pytest.mark.parametrize("limits", [{"file_size_limit": 10}, {}])
def test_an_upload_over_the_limit_does_not_begin(storage, limits):
    bucket = storage.bucket(**limits)
    storage.configure(file_bytes=1024)
    answer = begin(storage, bucket, "a.txt", 1025)
    assert (answer.status_code, answer.text) == (413, "Maximum size exceeded")


def test_an_object_that_is_there_is_replaced_only_on_demand(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a.txt", b"old")
    assert begin(storage, bucket, "a.txt", 3).status_code == 409
    place = place_of(storage, begin(storage, bucket, "a.txt", 3, **{"X-Upsert": "true"}))
    assert part(storage, place, 0, b"ne").status_code == 204
    assert storage.get(bucket, "a.txt").data == b"old"
    assert part(storage, place, 2, b"w").status_code == 204
    assert storage.get(bucket, "a.txt").data == b"new"
    assert storage.blobs() == storage.named_blobs()


def test_an_upload_that_was_ended_is_gone(storage):
    bucket = storage.bucket()
    place = place_of(storage, begin(storage, bucket, "a.txt", 5))
    part(storage, place, 0, b"01")
    assert storage.call("DELETE", place, headers=TUS).status_code == 204
    assert storage.call("HEAD", place, headers=TUS).status_code == 404
    assert part(storage, place, 2, b"234").status_code == 404
    assert place.rpartition("/")[2] not in {entry.name for entry in storage.place.partials()}


def test_an_upload_ends_after_a_day(storage):
    place = place_of(storage, begin(storage, storage.bucket(), "a.txt", 5))
    storage.now = lambda: time.time() + 86_401
    assert (
        storage.call(
            "HEAD", place, bearer=storage.key("service_role", exp=int(time.time()) + 200_000), headers=TUS
        ).status_code
        == 404
    )


def test_an_upload_is_for_whoever_began_it(storage):
    bucket = storage.bucket()
    _, mine = storage.person()
    _, others = storage.person()
    rule = f"bucket_id = '{bucket}'"
    storage.policy(f"CREATE POLICY p ON storage.objects FOR INSERT TO authenticated, anon WITH CHECK ({rule})")
    try:
        place = place_of(storage, begin(storage, bucket, "a.txt", 5, bearer=mine))
        for bearer in (others, "anon"):
            assert part(storage, place, 0, b"x", bearer).status_code == 404
            assert storage.call("HEAD", place, bearer=bearer, headers=TUS).status_code == 404
            assert storage.call("DELETE", place, bearer=bearer, headers=TUS).status_code == 404
        assert part(storage, place, 0, b"hello", mine).status_code == 204
        assert storage.get(bucket, "a.txt").data == b"hello"
    finally:
        storage.policy("DROP POLICY p ON storage.objects")


def test_whoever_may_not_store_does_not_begin(storage):
    bucket = storage.bucket()
    answer = begin(storage, bucket, "a.txt", 5, bearer="anon")
    assert answer.status_code == 403
    assert "row-level security" in answer.text
    assert begin(storage, bucket, "a.txt", 5, bearer=None).status_code == 400
    assert begin(storage, bucket, "a.txt", 5, bearer="junk").status_code == 400


def test_rights_that_end_in_between_end_the_upload(storage):
    bucket = storage.bucket()
    _, mine = storage.person()
    storage.policy(
        f"CREATE POLICY p ON storage.objects FOR INSERT TO authenticated WITH CHECK (bucket_id = '{bucket}')"
    )
    place = place_of(storage, begin(storage, bucket, "a.txt", 5, bearer=mine))
    storage.policy("DROP POLICY p ON storage.objects")
    assert part(storage, place, 0, b"hello", mine).status_code == 403
    assert storage.get(bucket, "a.txt").status_code == 400


def test_a_signed_token_stands_for_whoever_had_it_made(storage):
    bucket = storage.bucket()
    token = storage.call("POST", f"/object/upload/sign/{bucket}/a.txt", {}).json["token"]
    signed = {"X-Signature": token}
    below = "/upload/resumable/sign"
    place = place_of(storage, begin(storage, bucket, "a.txt", 5, path=below, bearer=None, **signed))
    assert place.startswith(f"{below}/")
    for headers in ({}, {"X-Signature": "junk"}, {"X-Signature": ""}):
        assert part(storage, place, 0, b"hello", None, **headers).status_code == 400
    assert begin(storage, bucket, "b.txt", 5, path=below, bearer=None, **signed).status_code == 400
    assert part(storage, place, 0, b"hello", None, **signed).status_code == 204
    assert storage.get(bucket, "a.txt").data == b"hello"


def test_what_the_protocol_asks_for_is_said(storage):
    answer = storage.call("OPTIONS", "/upload/resumable", bearer=None)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "termination", "expiration",
    }  # fmt: skip
    assert storage.call("POST", "/upload/resumable", headers={"Upload-Length": "1"}).status_code == 412
    place = place_of(storage, begin(storage, storage.bucket(), "a", 1))
    assert storage.call("PATCH", place, b"x", headers={**TUS, "Upload-Offset": "0"}).status_code == 415


@pytest.mark.parametrize(
    "headers",
    [{"Upload-Length": "-1"}, {"Upload-Length": "x"}, {"Upload-Length": ""}, {"Upload-Metadata": "bucketName !!"},
     {"Upload-Metadata": ""}, {"Upload-Defer-Length": "1"}, {"Upload-Concat": "partial"}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(storage, headers):
    bucket = storage.bucket()
    sent = {**TUS, "Upload-Length": "1", "Upload-Metadata": stated(bucket, "a"), **headers}
    assert storage.call("POST", "/upload/resumable", headers=sent).status_code == 400
    assert storage.call("HEAD", f"/upload/resumable/{uuid.uuid4()}", headers=TUS).status_code == 404


def test_one_that_had_come_whole_when_somebody_was_killed_is_finished_by_whoever_asks(storage):
    bucket = storage.bucket()
    place = place_of(storage, begin(storage, bucket, "a.txt", 5))
    upload = place.rpartition("/")[2]
    writer = storage.place.resume(upload, 0)
    writer.write(b"hello")
    writer.keep()
    storage.rows("UPDATE storage.launchdb_uploads SET received = 5 WHERE id = %s RETURNING id", (upload,))
    assert offset_of(storage, place) == 5
    assert storage.get(bucket, "a.txt").data == b"hello"
    assert offset_of(storage, place) == 5
    assert storage.blobs() == storage.named_blobs()
