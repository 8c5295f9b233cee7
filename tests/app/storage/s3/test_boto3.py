"""What the official client does with buckets and objects, it finds done."""

from __future__ import annotations

import hashlib
import io
import os

import httpx
import pytest
from botocore.exceptions import ClientError

MB = 1024 * 1024


def refused(call, **given):
    """Return the code and status of what is refused."""
    with pytest.raises(ClientError) as error:
        call(**given)
    said = error.value.response
    return said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"]


def md5(content):
    return hashlib.md5(content, usedforsecurity=False)


def keys(page):
    return [entry["Key"] for entry in page.get("Contents", [])]


def test_buckets_are_made_found_listed_and_deleted(s3, bucket):
    made = f"{bucket}-2"
    s3.create_bucket(Bucket=made, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert refused(s3.create_bucket, Bucket=made) == ("BucketAlreadyExists", 409)
    s3.head_bucket(Bucket=made)
    assert {bucket, made} <= {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert s3.get_bucket_location(Bucket=made)["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket=made)
    s3.put_object(Bucket=made, Key="x", Body=b"x")
    assert refused(s3.delete_bucket, Bucket=made) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=made, Key="x")
    s3.delete_bucket(Bucket=made)
    assert refused(s3.head_bucket, Bucket=made) == ("404", 404)
    assert refused(s3.list_objects_v2, Bucket=made) == ("NoSuchBucket", 404)


def test_an_object_comes_back_as_it_was_stored(s3, bucket, shop):
    said = {"CacheControl": "max-age=60", "ContentType": "text/html", "ContentDisposition": 'attachment; filename="a"',
            "ContentEncoding": "gzip", "ContentLanguage": "de", "Metadata": {"colour": "red", "a-b": "c d"}}  # fmt: skip
    etag = s3.put_object(Bucket=bucket, Key="a/b c.html", Body=b"<p>", **said)["ETag"]
    assert etag == f'"{md5(b"<p>").hexdigest()}"'
    found = s3.get_object(Bucket=bucket, Key="a/b c.html")
    assert found["Body"].read() == b"<p>"
    head = s3.head_object(Bucket=bucket, Key="a/b c.html")
    for answer in (found, head):
        assert {name: answer[name] for name in said} == said
        assert (answer["ETag"], answer["ContentLength"]) == (etag, 3)
    assert shop.storage.get(bucket, "a/b%20c.html").data == b"<p>"
    s3.delete_object(Bucket=bucket, Key="a/b c.html")
    s3.delete_object(Bucket=bucket, Key="a/b c.html")
    assert refused(s3.get_object, Bucket=bucket, Key="a/b c.html") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="a/b c.html") == ("404", 404)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
def test_every_checksum_that_the_client_knows_is_held_against_the_bytes(s3, bucket, algorithm):
    content = os.urandom(300_000)
    answer = s3.put_object(Bucket=bucket, Key="k", Body=content, ChecksumAlgorithm=algorithm)
    assert answer[f"Checksum{algorithm}"]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == content
    wrong = {"CRC32": "AAAAAA==", "CRC32C": "AAAAAA==", "CRC64NVME": "AAAAAAAAAAA=", "SHA1": "A" * 27 + "=",
             "SHA256": "A" * 43 + "="}[algorithm]  # fmt: skip
    given = {"Bucket": bucket, "Key": "new", "Body": b"x", f"Checksum{algorithm}": wrong}
    assert refused(s3.put_object, **given) == ("BadDigest", 400)
    assert refused(s3.get_object, Bucket=bucket, Key="new") == ("NoSuchKey", 404)


def test_a_part_of_an_object_is_read_and_conditions_hold(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
    for wanted, found in (("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=8-99", b"89")):
        answer = s3.get_object(Bucket=bucket, Key="k", Range=wanted)
        assert (answer["Body"].read(), answer["ResponseMetadata"]["HTTPStatusCode"]) == (found, 206)
    assert refused(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == ("InvalidRange", 416)
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == ("304", 304)
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"0123456789"


def test_an_object_is_stored_on_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="other", Body=b"2", IfMatch=etag) == ("NoSuchKey", 404)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"


def test_an_object_is_copied_with_its_metadata_or_with_others(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentType="text/plain", Metadata={"k": "1"})
    source = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="b/c d", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="e", CopySource=source, MetadataDirective="REPLACE", Metadata={"k": "2"},
                   ContentType="text/csv")  # fmt: skip
    assert s3.head_object(Bucket=bucket, Key="b/c d")["Metadata"] == {"k": "1"}
    head = s3.head_object(Bucket=bucket, Key="e")
    assert (head["Metadata"], head["ContentType"], head["ContentLength"]) == ({"k": "2"}, "text/csv", 1)
    assert refused(s3.copy_object, Bucket=bucket, Key="a", CopySource=source) == ("InvalidRequest", 400)
    s3.copy_object(Bucket=bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"k": "3"})
    assert s3.get_object(Bucket=bucket, Key="a")["Metadata"] == {"k": "3"}
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    given = {"Bucket": bucket, "Key": "z", "CopySource": source}
    assert refused(s3.copy_object, **given, CopySourceIfMatch='"x"') == ("PreconditionFailed", 412)
    assert refused(s3.copy_object, **{**given, "CopySource": {"Bucket": bucket, "Key": "no"}}) == ("NoSuchKey", 404)


def test_many_objects_are_deleted_at_once_and_those_that_are_not_there_too(s3, bucket):
    for key in ("a", "b & c", "d"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    wanted = {"Objects": [{"Key": "a"}, {"Key": "b & c"}, {"Key": "none"}]}
    answer = s3.delete_objects(Bucket=bucket, Delete=wanted)
    assert sorted(each["Key"] for each in answer["Deleted"]) == ["a", "b & c", "none"]
    assert "Errors" not in answer
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={**wanted, "Quiet": True})
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["d"]


@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
def test_a_bucket_is_listed_by_pages_prefixes_and_any_delimiter(s3, bucket, version):
    stored = ["a", "a b+c", "b/1", "b/2", "b/c/3", "b0", "x--1", "x--2", "y"]
    for key in stored:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    list_page = getattr(s3, version)
    assert keys(list_page(Bucket=bucket)) == stored
    for size in (1, 2, 3, 100):
        for delimiter, wanted in (
            ("", stored),
            ("/", ["a", "a b+c", "b/", "b0", "x--1", "x--2", "y"]),
            ("--", ["a", "a b+c", "b/1", "b/2", "b/c/3", "b0", "x--", "y"]),
        ):
            given = {"Delimiter": delimiter} if delimiter else {}
            found = []
            for page in s3.get_paginator(version).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **given):
                found += keys(page) + [each["Prefix"] for each in page.get("CommonPrefixes", [])]
            assert sorted(found) == wanted, (size, delimiter)
    page = list_page(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert (keys(page), page["CommonPrefixes"]) == (["b/1", "b/2"], [{"Prefix": "b/c/"}])
    entry = list_page(Bucket=bucket, Prefix="a b")["Contents"][0]
    assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (
        1,
        f'"{md5(b"x").hexdigest()}"',
        "STANDARD",
    )
    assert list_page(Bucket=bucket, MaxKeys=0)["IsTruncated"] is False


def test_a_large_file_goes_in_parts_and_comes_back_whole(s3, bucket, shop):
    content = os.urandom(17 * MB)
    s3.upload_fileobj(io.BytesIO(content), bucket, "large", ExtraArgs={"ContentType": "image/png"})
    head = s3.head_object(Bucket=bucket, Key="large")
    digests = b"".join(md5(content[at : at + 8 * MB]).digest() for at in range(0, len(content), 8 * MB))
    assert head["ETag"] == f'"{md5(digests).hexdigest()}-3"'
    assert (head["ContentType"], head["ContentLength"]) == ("image/png", len(content))
    found = io.BytesIO()
    s3.download_fileobj(bucket, "large", found)
    assert found.getvalue() == content
    assert shop.storage.blobs() == shop.storage.named_blobs()


def test_parts_come_in_any_order_are_replaced_copied_and_listed(s3, bucket, shop):
    s3.put_object(Bucket=bucket, Key="old", Body=b"ab" + b"c" * 5 * MB)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", Metadata={"m": "1"})["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    three = s3.upload_part(**named, PartNumber=3, Body=b"end")["ETag"]
    s3.upload_part(**named, PartNumber=1, Body=b"wrong")
    one = s3.upload_part(**named, PartNumber=1, Body=b"1" * 5 * MB)["ETag"]
    two = s3.upload_part_copy(
        **named, PartNumber=2, CopySource={"Bucket": bucket, "Key": "old"}, CopySourceRange=f"bytes=2-{5 * MB + 1}"
    )["CopyPartResult"]["ETag"]
    listed = s3.list_parts(**named)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, 5 * MB), (2, 5 * MB), (3, 3)]
    page = s3.list_parts(**named, MaxParts=1, PartNumberMarker=1)
    assert ([part["PartNumber"] for part in page["Parts"]], page["IsTruncated"]) == ([2], True)
    assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)
    wanted = {
        "Parts": [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}, {"PartNumber": 3, "ETag": three}]
    }
    done = s3.complete_multipart_upload(**named, MultipartUpload=wanted)
    assert s3.complete_multipart_upload(**named, MultipartUpload=wanted)["ETag"] == done["ETag"]
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == b"1" * 5 * MB + b"c" * 5 * MB + b"end"
    assert (found["ETag"], found["Metadata"]) == (done["ETag"], {"m": "1"})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert refused(s3.list_parts, **named) == ("NoSuchUpload", 404)
    assert refused(s3.upload_part, **named, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)
    assert shop.storage.blobs() == shop.storage.named_blobs()


def test_an_upload_that_is_aborted_leaves_nothing(s3, bucket, shop):
    before = shop.storage.blobs()
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etag = s3.upload_part(**named, PartNumber=1, Body=b"x")["ETag"]
    assert len(shop.storage.blobs()) == len(before) + 1
    s3.abort_multipart_upload(**named)
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert refused(s3.complete_multipart_upload, **named, MultipartUpload=parts) == ("NoSuchUpload", 404)
    assert refused(s3.abort_multipart_upload, **named) == ("NoSuchUpload", 404)
    assert shop.storage.blobs() == before


def test_a_presigned_url_is_good_for_what_it_was_signed(s3, bucket):
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "p", "ContentType": "text/plain"})
    assert httpx.put(put, content=b"hello", headers={"Content-Type": "text/plain"}).status_code == 200
    named = {"Bucket": bucket, "Key": "p", "ResponseContentDisposition": "attachment"}
    get = s3.generate_presigned_url("get_object", named)
    answer = httpx.get(get)
    assert (answer.text, answer.headers["Content-Disposition"]) == ("hello", "attachment")
    assert httpx.delete(get).status_code == 403
    assert httpx.get(get.replace("/p?", "/q?")).status_code == 403
