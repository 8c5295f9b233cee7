"""What clients should not send: it is refused in the words of S3, costs little, and changes nothing."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import quote

import pytest

from app.storage.s3.uploads import PART_BYTES_LEAST, PARTS_MAX
from tests.app.storage.s3.signing import HandSigner, encoded
from tests.app.storage.s3.test_bodies import code_of
from tests.app.storage.s3.test_boto3 import refused
from tests.app.storage.world import ACCESS_KEY

KEYS = ["../x", "a/../b", "..", ".", "a/./b", "a\0b", "a\nb", "ä", "a\\b", "x" * 1025, "a/" + "b" * 256, "/a"]


@pytest.fixture
def signer(shop):
    return HandSigner(shop.url, ACCESS_KEY, shop.storage.spec.access_keys[ACCESS_KEY])


@pytest.fixture
def upload(s3, bucket):
    """An upload in parts that has begun, by what names it."""
    return {"Bucket": bucket, "Key": "k", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_no_object_may_have_is_refused_and_reaches_no_file(signer, shop, bucket, key):
    before = shop.storage.blobs()
    for query in ("", "uploads="):
        answer = signer.ask("POST" if query else "PUT", f"/{bucket}/{encoded(key)}", b"x", query=query)
        assert answer.status_code in (400, 403, 404), (key, answer.text)
    copied = signer.ask("PUT", f"/{bucket}/ok", more={"x-amz-copy-source": f"{bucket}/{encoded(key)}"})
    assert copied.status_code in (400, 403, 404), copied.text
    assert signer.ask("GET", f"/{bucket}/{encoded(key)}").status_code in (400, 403, 404)
    assert signer.ask("DELETE", f"/{bucket}/{encoded(key)}").status_code in (204, 400, 403, 404)
    assert shop.storage.rows("SELECT name FROM storage.objects WHERE bucket_id = %s", (bucket,)) == []
    assert shop.storage.blobs() == before


DOCUMENTS = {
    "entities": '<!DOCTYPE D [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><Delete>&b;</Delete>',
    "a file": '<!DOCTYPE D [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>',
    "a DTD": "<!DOCTYPE Delete><Delete><Object><Key>k</Key></Object></Delete>",
    "no end": "<Delete><Object><Key>k</Key></Object>",
    "nothing": "",
    "text": "Delete",
    "another element": "<Remove><Object><Key>k</Key></Object></Remove>",
    "no key": "<Delete><Object><VersionId>null</VersionId></Object></Delete>",
    "two keys": "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
    "no objects": "<Delete></Delete>",
    "too many": "<Delete>" + "<Object><Key>k</Key></Object>" * 1001 + "</Delete>",
    "depth": "<Delete>" + "<Object>" * 20_000 + "</Object>" * 20_000 + "</Delete>",
    "size": "<Delete>" + " " * (4 * 1024 * 1024) + "</Delete>",
    "no UTF-8": b"<Delete><Object><Key>\xff</Key></Object></Delete>",
    "another encoding": '<?xml version="1.0" encoding="utf-7"?><Delete><Object><Key>k</Key></Object></Delete>',
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_xml_that_is_not_what_was_asked_for_is_refused(signer, s3, bucket, upload, kind):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    text = DOCUMENTS[kind]
    content = text if isinstance(text, bytes) else text.encode()
    began = time.process_time()
    assert code_of(signer.ask("POST", f"/{bucket}", content, query="delete=")) == ("MalformedXML", 400)
    content = content.replace(b"Delete>", b"CompleteMultipartUpload>").replace(b"Object>", b"Part>")
    answer = signer.ask("POST", f"/{bucket}/k", content, query=f"uploadId={upload['UploadId']}")
    assert code_of(answer) == ("MalformedXML", 400)
    assert time.process_time() - began < 5
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def complete(s3, upload, *parts):
    wanted = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
    return refused(s3.complete_multipart_upload, **upload, MultipartUpload=wanted)


def test_parts_in_another_order_or_that_are_not_there_make_no_object(s3, upload):
    one = s3.upload_part(**upload, PartNumber=1, Body=b"x" * PART_BYTES_LEAST)["ETag"]
    two = s3.upload_part(**upload, PartNumber=2, Body=b"y")["ETag"]
    assert complete(s3, upload, (2, two), (1, one)) == ("InvalidPartOrder", 400)
    assert complete(s3, upload, (1, one), (1, one)) == ("InvalidPartOrder", 400)
    assert complete(s3, upload, (1, one), (3, two)) == ("InvalidPart", 400)
    assert complete(s3, upload, (1, two)) == ("InvalidPart", 400)
    assert complete(s3, upload, (1, "junk")) == ("InvalidPart", 400)
    assert refused(s3.head_object, Bucket=upload["Bucket"], Key="k")[1] == 404
    assert len(s3.list_parts(**upload)["Parts"]) == 2


def test_parts_that_are_too_small_make_no_object_unless_they_are_the_last(s3, upload):
    tiny = [s3.upload_part(**upload, PartNumber=number, Body=b"x")["ETag"] for number in (1, 2)]
    assert complete(s3, upload, (1, tiny[0]), (2, tiny[1])) == ("EntityTooSmall", 400)
    wanted = {"Parts": [{"PartNumber": 2, "ETag": tiny[1]}]}
    s3.complete_multipart_upload(**upload, MultipartUpload=wanted)
    assert s3.get_object(Bucket=upload["Bucket"], Key="k")["Body"].read() == b"x"


@pytest.mark.parametrize("number", [0, PARTS_MAX + 1, 99999, -1])
def test_a_part_has_a_number_up_to_ten_thousand(signer, bucket, upload, number):
    answer = signer.ask("PUT", f"/{bucket}/k", b"x", query=f"partNumber={number}&uploadId={upload['UploadId']}")
    assert code_of(answer) == ("InvalidArgument", 400)


def test_ten_thousand_parts_are_listed_by_pages_and_named_at_once(s3, upload, shop):
    digest = hashlib.md5(b"", usedforsecurity=False).hexdigest()
    with shop.storage.tenant.connect(shop.storage.tenant.roles.storage) as connection:
        connection.execute(
            "INSERT INTO storage.s3_multipart_uploads_parts (upload_id, part_number, bucket_id, key, etag, version, size) "
            "SELECT %s, n, %s, 'k', %s, gen_random_uuid()::text, 0 FROM generate_series(1, 10000) AS n",
            (upload["UploadId"], upload["Bucket"], digest),
        )
    pages = list(s3.get_paginator("list_parts").paginate(**upload))
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == list(range(1, 10_001))
    assert len(pages) == 10
    assert complete(s3, upload, *((number, digest) for number in range(1, 10_001))) == ("EntityTooSmall", 400)
    assert complete(s3, upload, *((number, digest) for number in range(1, 10_002))) == ("MalformedXML", 400)
    s3.abort_multipart_upload(**upload)


def test_what_is_no_part_of_s3_here_is_refused_and_never_taken_for_something_else(signer, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for query in ("acl=", "tagging=", "versionId=1", "retention=", "attributes=", "torrent=", "partNumber=1"):
        for method in ("GET", "PUT", "DELETE"):
            answer = signer.ask(method, f"/{bucket}/k", b"y" if method == "PUT" else b"", query=query)
            assert code_of(answer) == ("NotImplemented", 501), (method, query)
    for query in ("policy=", "lifecycle=", "cors=", "website=", "versions=", "replication="):
        for method in ("GET", "PUT", "DELETE"):
            assert code_of(signer.ask(method, f"/{bucket}", query=query)) == ("NotImplemented", 501), (method, query)
    for more in ({"x-amz-server-side-encryption": "AES256"}, {"x-amz-tagging": "a=b"}, {"x-amz-object-lock-mode": "x"}):
        assert code_of(signer.ask("PUT", f"/{bucket}/k", b"y", more=more)) == ("NotImplemented", 501)
    public = signer.ask("PUT", f"/{bucket}/k", b"y", more={"x-amz-acl": "public-read"})
    assert code_of(public) == ("AccessControlListNotSupported", 400)
    for method, path in (("POST", f"/{bucket}"), ("POST", f"/{bucket}/k"), ("PATCH", f"/{bucket}/k"), ("DELETE", "")):
        assert code_of(signer.ask(method, path)) == ("MethodNotAllowed", 405), (method, path)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_a_header_that_was_added_on_the_way_is_refused(signer, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    path, payload = f"/{bucket}/new", hashlib.sha256(b"").hexdigest()
    headers = signer.headers("PUT", path, payload) | {"x-amz-copy-source": f"{bucket}/k"}
    assert code_of(signer.send("PUT", path, b"", headers)) == ("AccessDenied", 403)
    assert refused(s3.head_object, Bucket=bucket, Key="new")[1] == 404


# Of an Authorization header: what is said instead of what is right.
HEADERS = {
    "nothing": "",
    "another scheme": "Bearer x",
    "nothing behind it": "AWS4-HMAC-SHA256",
    "no credential": "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=" + "0" * 64,
    "no scope": "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=" + "0" * 64,
    "another service": "AWS4-HMAC-SHA256 Credential=a/DATE/r/sts/aws4_request, SignedHeaders=host, Signature="
    + "0" * 64,
    "no host": "AWS4-HMAC-SHA256 Credential=a/DATE/r/s3/aws4_request, SignedHeaders=x-amz-date, Signature=" + "0" * 64,
    "no signature": "AWS4-HMAC-SHA256 Credential=a/DATE/r/s3/aws4_request, SignedHeaders=host, Signature=zz",
    "another day": "AWS4-HMAC-SHA256 Credential=a/20010101/r/s3/aws4_request, SignedHeaders=host, Signature="
    + "0" * 64,
    "a long key": f"AWS4-HMAC-SHA256 Credential={'a' * 5000}/DATE/r/s3/aws4_request, SignedHeaders=host, Signature=0",
}


@pytest.mark.parametrize("how", HEADERS)
def test_an_authorization_that_is_malformed_is_told_so(signer, bucket, how):
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {
        "Authorization": HEADERS[how].replace("DATE", moment[:8]),
        "x-amz-date": moment,
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    }
    answer = signer.send("GET", f"/{bucket}", b"", headers)
    assert code_of(answer)[0] in ("AuthorizationHeaderMalformed", "InvalidRequest", "AccessDenied"), answer.text
    assert answer.status_code in (400, 403)
    assert answer.headers["Content-Type"] == "application/xml"


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Signature=" + "0" * 64,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20010101%2Fr%2Fs3%2Faws4_request&X-Amz-Date="
        "20010101T000000Z&X-Amz-Expires=604801&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "0" * 64,
        "X-Amz-Algorithm=AWS4-ECDSA&X-Amz-Credential=a&X-Amz-Date=x&X-Amz-Expires=1&X-Amz-Signature=x",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Credential=b&X-Amz-Expires=1&X-Amz-Signature=x",
    ],
)
def test_a_presigned_url_that_is_malformed_is_told_so(signer, bucket, query):
    answer = signer.send("GET", f"/{bucket}/k?{query}", b"", {})
    assert code_of(answer)[0] in ("AuthorizationQueryParametersError", "AccessDenied"), answer.text


@pytest.mark.parametrize("name", ["prefix", "delimiter", "marker", "start-after", "continuation-token", "max-keys"])
@pytest.mark.parametrize("value", ["\0", "x" * 5000, "ä", "%", "-1", "\ud800", "' OR 1=1 --"])
def test_a_list_is_asked_for_by_any_text(signer, bucket, name, value):
    sent = quote(value.encode("utf-8", "surrogatepass"), safe="-_.~")
    for version in ("1", "2"):
        query = "&".join(sorted((f"list-type={version}", f"{name}={sent}")))
        answer = signer.ask("GET", f"/{bucket}", query=query)
        assert answer.status_code in (200, 400, 403), answer.text
        assert "<Code>InternalError" not in answer.text


def test_metadata_have_a_size_and_are_text(s3, signer, bucket):
    given = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    assert refused(s3.put_object, **given, Metadata={"a": "x" * 2048}) == ("MetadataTooLarge", 400)
    s3.put_object(**given, Metadata={"a": "x" * 2000})
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "x" * 2000}
