"""What a client notices of objects, beyond what the reference's tables hold: limits, parts, conditions, what is safe."""

from __future__ import annotations

import email.utils
import threading
import time

import pytest

from tests.app.storage.test_cases import form_of

RAW = {"Content-Type": "text/plain"}


@pytest.fixture(scope="module")
def bucket(world):
    return world.bucket(public=True)


# ---- what comes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["file", "", "anything"])
def test_a_form_s_first_file_is_the_object_whatever_it_is_called(storage, bucket, name):
    parts = [
        {"name": "cacheControl", "text": "60"},
        {"name": "metadata", "text": '{"a": [1, "ü"]}'},
        {"name": name, "filename": "x.bin", "type": "image/png", "text": "bytes\r\n--not-the-end\r\n"},
    ]
    body, stated = form_of(parts)
    answer = storage.call("POST", f"/object/{bucket}/form-{name}", body, headers={"Content-Type": stated})
    assert answer.status_code == 200, answer.json
    found = storage.get(bucket, f"form-{name}")
    assert found.data == b"bytes\r\n--not-the-end\r\n"
    assert (found.headers["Content-Type"], found.headers["Cache-Control"]) == ("image/png", "max-age=60")
    info = storage.call("GET", f"/object/info/{bucket}/form-{name}").json
    assert (info["metadata"], info["size"]) == ({"a": [1, "ü"]}, len(found.data))


@pytest.mark.parametrize("cut", [5, 40, 120, 10_000])
def test_a_form_that_ends_too_soon_stores_nothing(storage, bucket, cut):
    body, stated = form_of([{"name": "", "filename": "x", "type": "text/plain", "text": "0123456789" * 2000}])
    before = storage.blobs()
    answer = storage.call("POST", f"/object/{bucket}/cut-{cut}", body[:-cut], headers={"Content-Type": stated})
    assert answer.status_code == 400
    assert storage.get(bucket, f"cut-{cut}").json["error"] == "not_found"
    assert storage.blobs() == before


@pytest.mark.parametrize(
    "stated", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x"]
)
def test_a_form_without_a_file_is_refused(storage, bucket, stated):
    answer = storage.call("POST", f"/object/{bucket}/none", b"--x\r\n\r\n--x--\r\n", headers={"Content-Type": stated})
    assert answer.status_code == 400


def test_a_body_that_ends_before_its_length_stores_nothing(storage, bucket):
    environ = {"CONTENT_LENGTH": "10", "wsgi.input_terminated": True}  # as our server hands it on
    answer = storage.call("POST", f"/object/{bucket}/short", b"12345", headers=RAW, environ_overrides=environ)
    assert (answer.status_code, answer.json["error"]) == (400, "InvalidRequest")
    assert storage.get(bucket, "short").json["error"] == "not_found"


@pytest.mark.parametrize(
    "key",
    ["..%2f..%2fx", "a/../b", "a/./b", "%2e%2e/x", "a%5cb", "..%5c..%5cx", "%2fetc/passwd", "a%00b", "a%0ab", "b%C3%A4d", "%EF%BC%8E%EF%BC%8E/x",
     "a#b".replace("#", "%23"), "x" * 256, "a/" * 600 + "b", "a/", "%ff"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_name_that_is_none_is_refused_and_reaches_no_file(storage, bucket, key, method):
    before = storage.blobs()
    answer = storage.call(method, f"/object/{bucket}/{key}", b"x", headers=RAW)
    assert answer.status_code in (400, 404), answer.text
    assert storage.blobs() == before
    assert storage.get(bucket, key).status_code in (400, 404)


@pytest.mark.parametrize(
    "path", ["/bucket/a%00b", "/bucket?search=%00", "/object/sign/a%00/b", "/object/public/a/b%00"]
)
def test_what_no_text_can_hold_is_refused(storage, path):
    assert storage.call("GET", path).status_code in (400, 404)


def test_names_are_kept_as_they_are_written(storage, bucket):
    for key in ("a b+c&d@e=f;g:h,i?j!k'(l)$m*.txt", "x" * 255, "/".join(["d"] * 400)):
        quoted = key.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
        storage.put(bucket, quoted, key.encode())
        assert storage.get(bucket, quoted).data == key.encode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"X-Metadata": "!!"}, 400), ({"X-Metadata": "WzFd"}, 400), ({"X-Metadata": "eyJhIjoiXHUwMDAwIn0="}, 400),
     ({"X-Robots-Tag": "no such rule"}, 400), ({"Content-Type": "text"}, 400)],
)  # fmt: skip
def test_what_is_said_wrongly_of_an_object_is_refused(storage, bucket, headers, status):
    answer = storage.call("POST", f"/object/{bucket}/wrong", b"x", headers={**RAW, **headers})
    assert answer.status_code == status, answer.text


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_the_project_s_limit_counts_where_the_bucket_has_none(storage):
    bucket = storage.bucket()
    storage.configure(file_bytes=1024)
    assert storage.call("POST", f"/object/{bucket}/a", b"x" * 1024, headers=RAW).status_code == 200
    assert storage.call("POST", f"/object/{bucket}/b", b"x" * 1025, headers=RAW).json["statusCode"] == "413"
    answer = storage.call("POST", "/bucket", {"name": f"{bucket}-2", "file_size_limit": 1025})
    assert answer.json["statusCode"] == "413"


def test_an_upsert_that_is_too_large_leaves_the_old_content(storage):
    bucket = storage.bucket(file_size_limit=5)
    storage.put(bucket, "a", b"old")
    body, stated = form_of([{"name": "f", "filename": "x", "type": "text/plain", "text": "too large"}])
    for sent, headers in ((b"too large", RAW), (body, {"Content-Type": stated})):
        answer = storage.call("PUT", f"/object/{bucket}/a", sent, headers=headers)
        assert answer.json["statusCode"] == "413"
        assert storage.get(bucket, "a").data == b"old"
    assert list(storage.place.partials()) == []


def test_a_quota_is_kept_and_freed(storage):
    bucket = storage.bucket()
    ((used,),) = storage.rows("SELECT sum(bytes)::bigint FROM storage.launchdb_usage")
    storage.configure(storage_quota_mb=used // 2**20 + 2)
    left = (used // 2**20 + 2) * 2**20 - used
    storage.put(bucket, "a", b"x" * (left - 10))
    for method, path, body in (
        ("POST", f"/object/{bucket}/b", b"x" * 11),
        ("PUT", f"/object/{bucket}/a", b"x" * (left + 1)),
        ("POST", "/object/copy", {"bucketId": bucket, "sourceKey": "a", "destinationKey": "c"}),
    ):
        answer = storage.call(method, path, body, headers=RAW if isinstance(body, bytes) else {})
        assert answer.json["statusCode"] == "507", answer.json
    assert storage.call("POST", f"/object/{bucket}/b", b"x" * 10, headers=RAW).status_code == 200
    storage.call("DELETE", f"/object/{bucket}/a")
    assert storage.call("POST", f"/object/{bucket}/c", b"x" * 1000, headers=RAW).status_code == 200
    assert storage.blobs() == storage.named_blobs()


@pytest.mark.parametrize(
    ("types", "stated", "content", "taken"),
    [
        (["image/*"], "image/png", b"\x89PNG\r\n\x1a\n....", True),
        (["image/png"], "image/png", b"\xff\xd8\xff\xe0JFIF", True),
        (["image/png"], "IMAGE/PNG; q=1", b"whatever", True),
        (["image/png"], "image/jpeg", b"\x89PNG\r\n\x1a\n....", False),
        (["image/png"], "image/png", b"<!doctype html><script>alert(1)</script>", False),
        (["image/png"], "image/png", b'<svg xmlns="http://www.w3.org/2000/svg">', False),
        (["image/png", "image/svg+xml"], "image/svg+xml", b'<?xml version="1.0"?><svg >', True),
        (["image/*"], "image/png", b"\x7fELF\x02\x01\x01", False),
        (["text/html"], "text/html", b"<html>", True),
        (["*/*"], "application/pdf", b"%PDF-1.7", True),
        (["application/zip"], "application/zip", b"PK\x03\x04", True),
        (["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK\x03\x04", True),
    ],
)  # fmt: skip
def test_a_bucket_takes_its_types_by_what_is_said_and_by_what_comes(storage, types, stated, content, taken):
    bucket = storage.bucket(allowed_mime_types=types)
    answer = storage.call("POST", f"/object/{bucket}/a", content, headers={"Content-Type": stated})
    assert (answer.status_code == 200) is taken, answer.json
    assert taken or answer.json["error"] == "invalid_mime_type"


# ---- what goes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "status", "content", "said"),
    [("bytes=0-0", 206, b"0", "bytes 0-0/10"), ("bytes=5-", 206, b"56789", "bytes 5-9/10"),
     ("bytes=-3", 206, b"789", "bytes 7-9/10"), ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
     ("bytes=8-99", 206, b"89", "bytes 8-9/10"), ("bytes=10-", 416, None, "bytes */10"), ("bytes=-0", 416, None, "bytes */10"),
     ("bytes=5-3", 200, b"0123456789", None), ("bytes=0-1,3-4", 200, b"0123456789", None), ("lines=1-2", 200, b"0123456789", None)],
)  # fmt: skip
def test_a_part_is_sent_as_it_is_asked_for(storage, bucket, stated, status, content, said):
    storage.put(bucket, "ten", b"0123456789", x_upsert="true")
    for method in ("GET", "HEAD"):
        answer = (
            storage.get(bucket, "ten", headers={"Range": stated})
            if method == "GET"
            else storage.call("HEAD", f"/object/{bucket}/ten", headers={"Range": stated})
        )
        assert answer.status_code == status
        assert answer.headers.get("Content-Range") == said
        if content is not None:
            assert answer.headers["Content-Length"] == str(len(content))
            assert answer.data == (content if method == "GET" else b"")


def test_a_part_of_nothing_cannot_be_sent(storage, bucket):
    storage.put(bucket, "nothing", b"")
    assert storage.get(bucket, "nothing", headers={"Range": "bytes=0-0"}).status_code == 416
    assert storage.get(bucket, "nothing").headers["Content-Length"] == "0"


def test_what_a_client_has_already_is_not_sent_again(storage, bucket):
    storage.put(bucket, "known", b"abc")
    first = storage.get(bucket, "known")
    etag, changed = first.headers["ETag"], first.headers["Last-Modified"]
    later = email.utils.formatdate(time.time() + 60, usegmt=True)
    before = email.utils.formatdate(time.time() - 3600, usegmt=True)
    for headers, status in (
        ({"If-None-Match": etag}, 304), ({"If-None-Match": f'"x", W/{etag}'}, 304), ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200), ({"If-Modified-Since": changed}, 304), ({"If-Modified-Since": before}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": later}, 200), ({"If-Match": etag}, 200), ({"If-Match": '"x"'}, 412),
        ({"If-Unmodified-Since": before}, 412), ({"If-Modified-Since": "junk"}, 200),
        ({"Range": "bytes=0-0", "If-Range": etag}, 206), ({"Range": "bytes=0-0", "If-Range": '"x"'}, 200),
        ({"Range": "bytes=0-0", "If-Range": changed}, 206), ({"Range": "bytes=0-0", "If-Range": before}, 200),
    ):  # fmt: skip
        answer = storage.get(bucket, "known", headers=headers)
        assert answer.status_code == status, headers
        if status == 304:
            assert answer.data == b""
            assert answer.headers["ETag"] == etag


@pytest.mark.parametrize(
    ("stated", "sent_as", "is_attached", "is_fenced"),
    [("text/html", "text/plain", False, True), ("text/html; charset=utf-8", "text/plain; charset=utf-8", False, True),
     ("application/xhtml+xml", "text/plain", False, True), ("image/svg+xml", "image/svg+xml", False, True),
     ("text/xml", "text/xml", True, True), ("text/javascript", "text/javascript", True, True),
     ("image/png", "image/png", False, False), ("application/pdf", "application/pdf", False, False)],
)  # fmt: skip
def test_what_a_browser_would_run_is_sent_so_that_it_does_not(storage, bucket, stated, sent_as, is_attached, is_fenced):
    storage.put(bucket, "active", b"<script>", Content_Type=stated, x_upsert="true")
    for path in (f"/object/public/{bucket}/active", f"/object/{bucket}/active"):
        answer = storage.call("GET", path, bearer="anon")
        assert answer.headers["Content-Type"] == sent_as
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert ("attachment" in answer.headers.get("Content-Disposition", "")) is is_attached
        assert ("sandbox" in answer.headers.get("Content-Security-Policy", "")) is is_fenced


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "attachment;"), ("a.txt", "attachment; filename=a.txt; filename*=UTF-8''a.txt"),
     ('x"; filename=evil.html', "attachment; filename=x%22%3B%20filename%3Devil.html; filename*=UTF-8''x%22%3B%20filename%3Devil.html"),
     ("ü\r\nSet-Cookie: a=b", "attachment; filename=%C3%BC%0D%0ASet-Cookie%3A%20a%3Db; filename*=UTF-8''%C3%BC%0D%0ASet-Cookie%3A%20a%3Db")],
)  # fmt: skip
def test_a_file_is_kept_under_the_name_that_is_asked_for(storage, bucket, name, said):
    storage.put(bucket, "kept", b"x", x_upsert="true")
    answer = storage.get(bucket, "kept", query_string={"download": name})
    assert answer.headers["Content-Disposition"] == said
    assert "Set-Cookie" not in answer.headers


def test_who_reads_while_it_is_replaced_gets_one_or_the_other(storage, bucket):
    contents = [bytes([65 + n]) * 200_000 for n in range(4)]
    storage.put(bucket, "busy", contents[0], x_upsert="true")
    wrong, ended = [], threading.Event()

    def read():
        client = storage.app.test_client()
        headers = {"Authorization": f"Bearer {storage.key('service_role')}"}
        while not ended.is_set():
            answer = client.get(f"/storage/{storage.id}/object/{bucket}/busy", headers=headers, buffered=True)
            if answer.status_code != 200 or answer.data not in contents:
                wrong.append((answer.status_code, answer.data[:50]))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for content in contents * 4:
        storage.put(bucket, "busy", content, x_upsert="true")
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert storage.blobs() == storage.named_blobs()


def test_of_two_who_store_the_same_at_once_one_is_there_whole_and_nothing_is_left(storage, bucket):
    def store(content):
        client = storage.app.test_client()
        headers = {"Authorization": f"Bearer {storage.key('service_role')}", "x-upsert": "true", **RAW}
        client.post(f"/storage/{storage.id}/object/{bucket}/both", headers=headers, data=content)

    contents = [bytes([65 + n]) * 50_000 for n in range(8)]
    writers = [threading.Thread(target=store, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert storage.get(bucket, "both").data in contents
    assert storage.blobs() == storage.named_blobs()
