"""Bodies of every kind that clients send: what is not as it was signed is not stored, and nothing of it is left."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib

import pytest

from tests.app.storage.s3.signing import HandSigner
from tests.app.storage.world import ACCESS_KEY

SIGNED, SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
PARTS = (os.urandom(65_536), os.urandom(65_536), b"the end")
WHOLE = b"".join(PARTS)
LENGTH = len(WHOLE)
KINDS = {
    "signed chunks": (SIGNED, None, True),
    "signed chunks and a trailer": (SIGNED_TRAILER, "x-amz-checksum-crc32", True),
    "a trailer": (UNSIGNED_TRAILER, "x-amz-checksum-crc32", False),
}


@pytest.fixture
def signer(shop):
    return HandSigner(shop.url, ACCESS_KEY, shop.storage.spec.access_keys[ACCESS_KEY])


def crc32(content):
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def send(signer, path, kind, *, length=LENGTH, value=None, made=lambda body: body, **more):
    """Put the parts in chunks. made: makes of the body what is sent."""
    payload, trailer, signed = KINDS[kind]
    said = {"x-amz-decoded-content-length": str(length), "content-encoding": "aws-chunked"}
    said |= {"x-amz-trailer": trailer} if trailer else {}
    headers = signer.headers("PUT", path, payload, more=said)
    line = None if trailer is None else f"{trailer}:{value or crc32(WHOLE)}"
    body = made(signer.chunks(*PARTS, trailer=line, signed=signed, **more))
    return signer.send("PUT", path, body, headers)


def code_of(answer):
    return answer.text.partition("<Code>")[2].partition("<")[0], answer.status_code


@pytest.fixture
def untouched(shop, bucket):
    """What is refused stores nothing: neither a row nor a byte."""
    before = shop.storage.blobs()
    yield
    assert shop.storage.rows("SELECT name FROM storage.objects WHERE bucket_id = %s", (bucket,)) == []
    assert shop.storage.blobs() == before
    assert list(shop.storage.place.partials()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_in_chunks_is_stored_without_what_is_around_it(signer, shop, bucket, kind):
    answer = send(signer, f"/{bucket}/k", kind)
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == f'"{hashlib.md5(WHOLE, usedforsecurity=False).hexdigest()}"'
    found = shop.client().get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == WHOLE
    assert "ContentEncoding" not in found


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_chunk_that_was_changed_on_the_way_spoils_it_all(signer, bucket, kind, number):
    wanted = ("BadDigest", 400) if kind == "a trailer" else ("SignatureDoesNotMatch", 403)
    assert code_of(send(signer, f"/{bucket}/k", kind, spoil=number)) == wanted


# What somebody on the way may make of a body.
BROKEN = {
    "cut": (lambda body: body[:-200], {"IncompleteBody", "InvalidRequest", "SignatureDoesNotMatch"}),
    "cut in a head": (lambda body: body[:5], {"IncompleteBody", "InvalidRequest"}),
    "cut before its end": (lambda body: body[: body.rindex(b"0;") if b"0;" in body else body.rindex(b"\r\n0\r\n") + 2],
                           {"IncompleteBody"}),
    "with more behind it": (lambda body: body + b"0\r\n\r\n", {"InvalidRequest"}),
    "of no length": (lambda body: b"x" + body[1:], {"InvalidRequest", "SignatureDoesNotMatch"}),
    "of a length below nothing": (lambda body: b"-" + body, {"InvalidRequest"}),
    "of an endless length": (lambda body: b"f" * 17 + body, {"InvalidRequest"}),
    "of an endless head": (lambda body: b"0" * 5000 + body, {"InvalidRequest"}),
    "of nothing": (lambda _body: b"", {"IncompleteBody"}),
}  # fmt: skip


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", BROKEN)
def test_a_body_whose_chunks_are_broken_is_refused(signer, bucket, kind, how):
    made, codes = BROKEN[how]
    answer = send(signer, f"/{bucket}/k", kind, made=made)
    assert answer.status_code in (400, 403), answer.text
    assert code_of(answer)[0] in codes


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [0, len(WHOLE) - 1, len(WHOLE) + 1])
def test_a_body_of_another_length_than_was_signed_is_refused(signer, bucket, kind, length):
    assert code_of(send(signer, f"/{bucket}/k", kind, length=length)) == ("IncompleteBody", 400)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("kind", ["signed chunks and a trailer", "a trailer"])
@pytest.mark.parametrize(
    ("value", "code"), [("AAAAAA==", "BadDigest"), ("AAAA", "InvalidRequest"), ("*", "InvalidRequest")]
)
def test_a_checksum_behind_a_body_is_held_against_it(signer, bucket, kind, value, code):
    assert code_of(send(signer, f"/{bucket}/k", kind, value=value)) == (code, 400)


@pytest.mark.usefixtures("untouched")
def test_a_body_that_is_not_what_its_hash_says_is_refused(signer, bucket):
    path, other = f"/{bucket}/k", hashlib.sha256(b"other").hexdigest()
    assert code_of(signer.ask("PUT", path, b"x", payload=other)) == ("XAmzContentSHA256Mismatch", 400)
    for payload in ("junk", "a" * 63, "UNSIGNED", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        code, status = code_of(signer.ask("PUT", path, b"x", payload=payload))
        assert (status, code) in ((400, "InvalidArgument"), (501, "NotImplemented"), (400, "InvalidRequest")), payload
    md5 = {"content-md5": base64.b64encode(hashlib.md5(b"y", usedforsecurity=False).digest()).decode()}
    assert code_of(signer.ask("PUT", path, b"x", more=md5)) == ("BadDigest", 400)
    for wrong in ("x", "AAAA", ""):
        assert code_of(signer.ask("PUT", path, b"x", more={"content-md5": wrong})) == ("InvalidDigest", 400)


def test_a_body_that_nobody_signed_is_taken_where_the_client_says_so(signer, shop, bucket):
    assert signer.ask("PUT", f"/{bucket}/k", b"x", payload="UNSIGNED-PAYLOAD").status_code == 200
    assert shop.storage.get(bucket, "k").data == b"x"
