"""What an operator sets and sees of a project's files: quotas, who may ask from where, what there is, what was done."""

from __future__ import annotations

import base64
from collections import Counter

import pytest
from flask import Flask

from app.storage.service import StorageService
from infra.signals.limiter import RateCount

RAW = {"Content-Type": "text/plain"}
OURS, THEIRS = "https://app.example.org", "https://evil.example"


def test_a_quota_of_numbers_is_kept_before_a_byte_has_come_and_freed(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a")
    ((there,),) = storage.rows("SELECT sum(objects)::int FROM storage.launchdb_usage")
    storage.configure(storage_quota_objects=there)
    said = {"bucketName": bucket, "objectName": "d"}
    begin = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "1",
        "Upload-Metadata": ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in said.items()),
    }
    blobs = storage.blobs()
    for method, path, body, headers in (
        ("POST", f"/object/{bucket}/b", b"x", RAW),
        ("PUT", f"/object/{bucket}/b", b"x", RAW),
        ("POST", "/object/copy", {"bucketId": bucket, "sourceKey": "a", "destinationKey": "c"}, {}),
        ("POST", "/upload/resumable", None, begin),
    ):
        answer = storage.call(method, path, body, headers=headers)
        assert (answer.status_code, "quota" in answer.text) == (507, True), answer.text
    assert storage.blobs() == blobs
    # What is there may be replaced and moved.
    assert storage.call("PUT", f"/object/{bucket}/a", b"new", headers=RAW).status_code == 200
    way = {"bucketId": bucket, "sourceKey": "a", "destinationKey": "b"}
    assert storage.call("POST", "/object/move", way).status_code == 200
    storage.call("DELETE", f"/object/{bucket}/b")
    assert storage.call("POST", f"/object/{bucket}/c", b"x", headers=RAW).status_code == 200


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_pages_of_other_origins_are_refused_by_browsers_where_the_project_names_its_own(storage, method):
    bucket = storage.bucket(public=True)
    storage.put(bucket, "a")
    asked = {"Access-Control-Request-Method": "GET"} if method == "OPTIONS" else {}
    paths = (f"/object/public/{bucket}/a", f"/object/public/{bucket}/none", "/upload/resumable", "/no/such/route")

    def told(path, origin):
        answer = storage.call(method, path, bearer=None, headers={"Origin": origin, **asked})
        return answer.headers.get("Access-Control-Allow-Origin"), answer.headers.get("Vary", "")

    for path in paths:
        assert told(path, THEIRS) == ("*", "")
    storage.configure(cors_origins=[OURS])
    for path in paths:
        assert told(path, OURS) == (OURS, "Origin")
        assert told(path, THEIRS) == (None, "Origin")


def test_one_address_has_its_share_and_the_service_key_is_no_address(storage, tmp_path, settings):
    """By a service as processes put it together; who counts is the test."""
    bucket, asked = storage.bucket(public=True), Counter()

    def hit(name, most):
        asked[name] += 1
        return RateCount(most, max(0, most - asked[name]), 30, passed=asked[name] <= most)

    service = StorageService(
        settings, storage.files, status_of=lambda _id: "active", wait=lambda _asked, _served: False, counted=hit
    )
    app = Flask("counted")
    app.register_blueprint(service.blueprint())
    path = f"/storage/{storage.id}/object/list/{bucket}"

    def answers(who, address, times):
        headers = {"Authorization": f"Bearer {storage.key(who)}"}
        client = app.test_client()
        return [
            client.post(path, json={}, headers=headers, environ_base={"REMOTE_ADDR": address}) for _ in range(times)
        ]

    assert {answer.status_code for answer in answers("anon", "192.0.2.1", 9)} == {200}
    storage.configure(address_rate_per_minute=3)
    assert [answer.status_code for answer in answers("anon", "192.0.2.1", 5)] == [200] * 3 + [429] * 2
    assert answers("anon", "192.0.2.1", 1)[0].headers["Retry-After"] == "30"
    assert [answer.status_code for answer in answers("anon", "192.0.2.2", 1)] == [200]
    assert [answer.status_code for answer in answers("service_role", "192.0.2.1", 5)] == [200] * 5
    service.close()


def test_what_there_is_is_told_to_the_service_alone(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a", b"12345")
    storage.put(bucket, "b/c", b"123")
    storage.configure(storage_quota_mb=3, storage_quota_objects=70)
    found = storage.call("GET", "/usage").json
    assert {"bucket": bucket, "objects": 2, "bytes": 8} in found["buckets"]
    assert (found["bytesMax"], found["objectsMax"]) == (3 * 2**20, 70)
    ((objects, size),) = storage.rows("SELECT sum(objects)::int, sum(bytes)::int FROM storage.launchdb_usage")
    assert (found["objects"], found["bytes"]) == (objects, size)
    for who in ("anon", storage.person()[1]):
        assert storage.call("GET", "/usage", bearer=who).status_code == 403
    assert storage.call("GET", "/usage", bearer=None).status_code == 400


def test_what_was_done_is_counted_and_names_nobody(storage):
    bucket = storage.bucket()

    def counted(name, **labels):
        return storage.services.counts.registry.get_sample_value(f"launchdb_storage_{name}_total", labels) or 0

    def all_of():
        return (
            counted("requests", operation="object.upload", status="200"),
            counted("requests", operation="object.get_authenticated", status="400"),
            counted("refusals", code="NoSuchKey"),
            counted("bytes", direction="in"),
            counted("bytes", direction="out"),
            counted("objects", event="stored"),
            counted("objects", event="removed"),
        )

    before = all_of()
    storage.put(bucket, "secret-name", b"12345")
    storage.get(bucket, "secret-name")
    storage.get(bucket, "none")
    storage.call("DELETE", f"/object/{bucket}/secret-name")
    assert [now - then for now, then in zip(all_of(), before, strict=True)] == [1, 1, 1, 5, 5, 1, 1]
    labels = {value for family in storage.services.counts.registry.collect() for sample in family.samples
              for value in sample.labels.values()}  # fmt: skip
    assert not {label for label in labels if bucket in label or "secret" in label or storage.id in label}
