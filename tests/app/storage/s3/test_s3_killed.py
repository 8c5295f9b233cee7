"""Killed outright behind each act on disk or database, S3 has done a thing whole or not at all, as the other routes have."""

from __future__ import annotations

import hashlib
import random
import re

import pytest

from tests.app.storage.s3.signing import HandSigner
from tests.app.storage.test_killed import NEW, OLD, check, check_swept, filled, killing  # noqa: F401 - a fixture
from tests.app.storage.world import ACCESS_KEY

TRIED, LONGEST = 2, 200
ETAG = hashlib.md5(NEW, usedforsecurity=False).hexdigest()
COMPLETE = (
    f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{ETAG}</ETag></Part></CompleteMultipartUpload>"
)
DELETE = "<Delete><Object><Key>old.txt</Key></Object><Object><Key>other.txt</Key></Object></Delete>"
COPY = {"x-amz-copy-source": "BUCKET/old.txt"}
# What is asked for (method, path, query, body, headers), and what may be there afterwards: before and after it.
CASES = {
    "put": (("PUT", "/new.txt", "", NEW, {}), {"new.txt": (None, NEW), "old.txt": (OLD, OLD)}),
    "put onto": (("PUT", "/old.txt", "", NEW, {}), {"old.txt": (OLD, NEW)}),
    "copy onto": (("PUT", "/other.txt", "", b"", COPY), {"other.txt": (b"other", OLD), "old.txt": (OLD, OLD)}),
    "delete": (("DELETE", "/old.txt", "", b"", {}), {"old.txt": (OLD, None)}),
    "delete many": (
        ("POST", "", "delete=", DELETE.encode(), {}), {"old.txt": (OLD, None), "other.txt": (b"other", None)},
    ),
    "begin parts": (("POST", "/old.txt", "uploads=", b"", {}), {"old.txt": (OLD, OLD)}),
    "part": (("PUT", "/old.txt", "partNumber=2&uploadId=UPLOAD", NEW, {}), {"old.txt": (OLD, OLD)}),
    "part again": (("PUT", "/old.txt", "partNumber=1&uploadId=UPLOAD", NEW, {}), {"old.txt": (OLD, OLD)}),
    "complete": (("POST", "/old.txt", "uploadId=UPLOAD", COMPLETE.encode(), {}), {"old.txt": (OLD, NEW)}),
    "abort": (("DELETE", "/old.txt", "uploadId=UPLOAD", b"", {}), {"old.txt": (OLD, OLD)}),
}  # fmt: skip


def signed(storage, method, path, query, body, more):
    """Return a request as `storage.call` takes it, signed by the access key."""
    signer = HandSigner(f"http://localhost/storage/{storage.id}/s3", ACCESS_KEY, storage.spec.access_keys[ACCESS_KEY])
    headers = signer.headers(method, path, hashlib.sha256(body).hexdigest(), query, more)
    headers["Authorization"] = headers.pop("authorization")
    del headers["host"]
    return [method, f"/s3{path}" + f"?{query}" * bool(query), body.decode(), headers]


def ask(storage, *given):
    method, path, body, headers = signed(storage, *given)
    answer = storage.call(method, path, body.encode(), headers=headers)
    assert answer.status_code in (200, 204), answer.text
    return answer


def try_at(storage, killing, name, after):  # noqa: F811 - a fixture
    """Have it killed there; return whether there was so much to do."""
    (method, path, query, body, more), may_be = CASES[name]
    bucket = filled(storage)
    begun = ask(storage, "POST", f"/{bucket}/old.txt", "uploads=", b"", {}).text
    upload = re.search("<UploadId>(.*)</UploadId>", begun)[1]
    ask(storage, "PUT", f"/{bucket}/old.txt", f"partNumber=1&uploadId={upload}", NEW, {})
    more = {header: value.replace("BUCKET", bucket) for header, value in more.items()}
    said = killing([signed(storage, method, f"/{bucket}{path}", query.replace("UPLOAD", upload), body, more)], after)
    assert said in ("killed", "done 0"), said
    seen = check(storage, bucket, may_be, is_done=said != "killed")
    if name == "complete":  # whoever has heard nothing asks again, and it is done
        ask(storage, method, f"/{bucket}{path}", f"uploadId={upload}", body, {})
        seen = check(storage, bucket, may_be, is_done=True)
    past = "now() - interval '1 day' RETURNING id"
    storage.rows(f"UPDATE storage.s3_multipart_uploads SET launchdb_expires_at = {past}")
    check_swept(storage)
    assert check(storage, bucket, may_be) == seen
    assert storage.rows("SELECT count(*) FROM storage.s3_multipart_uploads") == [(0,)]
    storage.call("POST", f"/bucket/{bucket}/empty")
    storage.call("DELETE", f"/bucket/{bucket}")
    return said == "killed"


@pytest.mark.parametrize("name", CASES)
def test_a_thing_is_done_whole_or_not_at_all(storage, killing, name):  # noqa: F811 - a fixture
    for after in random.Random(name).sample(range(30), TRIED):
        try_at(storage, killing, name, after)


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_it_is_so_at_every_point(storage, killing, name):  # noqa: F811 - a fixture
    assert not try_at(storage, killing, name, LONGEST)
    tried = 0
    while try_at(storage, killing, name, tried):
        tried += 1
    assert tried > 5
