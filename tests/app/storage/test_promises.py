"""What users of Storage rely on, each by one line of defence alone; `tests/sabotage` takes the lines away."""

from __future__ import annotations

import time

from app.storage.images.picture_process import answer
from app.storage.sweep import sweep
from infra.blobs.results import ResultFolder
from tests.app.storage.pictures import bomb, picture

RAW = {"Content-Type": "text/plain"}


def signed(storage, bucket, key, **more):
    return storage.call("POST", f"/object/sign/{bucket}/{key}", {"expiresIn": 60, **more}).json["signedURL"]


def test_a_signed_url_opens_its_own_object_alone(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a")
    storage.put(bucket, "b", b"secret")
    token = signed(storage, bucket, "a").partition("token=")[2]
    found = storage.call("GET", f"/object/sign/{bucket}/b?token={token}", bearer=None)
    assert found.data != b"secret", "A signed URL opens its own object alone"


def test_a_signed_url_ends(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a", b"secret")
    url = signed(storage, bucket, "a")
    storage.now = lambda: time.time() + 61
    assert storage.call("GET", url, bearer=None).data != b"secret", "A signed URL ends when it was said"


def test_a_signed_url_of_which_nobody_says_how_long_is_good_for_an_hour(storage):
    bucket, began = storage.bucket(), time.time()
    storage.put(bucket, "a", b"secret")
    answer = storage.call("POST", f"/object/sign/{bucket}/a", {})
    assert answer.status_code == 200, answer.json
    for after, status in ((3590, 200), (3660, 400)):
        storage.now = lambda after=after: began + after
        assert storage.call("GET", answer.json["signedURL"], bearer=None).status_code == status
    storage.now = time.time
    assert storage.call("POST", f"/object/sign/{bucket}/a", {"expiresIn": None}).status_code == 400


def test_who_was_given_the_small_picture_was_not_given_the_original(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a.png", picture("png"), Content_Type="image/png")
    url = signed(storage, bucket, "a.png", transform={"width": 10}).replace("/render/image/", "/object/")
    found = storage.call("GET", url, bearer=None)
    assert found.data != picture("png"), "A signed URL of a small picture does not open the original"


def test_a_policy_decides_who_may_store(storage):
    bucket, (_subject, token) = storage.bucket(), storage.person()
    storage.call("POST", f"/object/{bucket}/a", b"x", bearer=token, headers=RAW)
    found = storage.get(bucket, "a").status_code
    assert found == 400, "Nobody stores what no policy lets them"


def test_a_policy_decides_who_may_read(storage):
    bucket, (_subject, token) = storage.bucket(), storage.person()
    storage.put(bucket, "a", b"secret")
    found = storage.get(bucket, "a", bearer=token)
    assert found.data != b"secret", "Nobody reads what no policy lets them"


def test_a_private_bucket_is_nobodys_without_a_token(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a", b"secret")
    found = storage.call("GET", f"/object/public/{bucket}/a", bearer=None)
    assert found.data != b"secret", "A private bucket is not read on the public route"


def test_an_object_is_as_large_as_its_bucket_allows_however_it_is_sent(storage):
    bucket = storage.bucket(file_size_limit=10)
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    storage.call("POST", f"/object/{bucket}/a", b"x" * 11, headers=RAW, environ_overrides=environ)
    found = storage.get(bucket, "a").status_code
    assert found == 400, "An object is no larger than its bucket allows, though nobody has said its length"


def test_what_a_row_names_survives_a_sweep(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a", b"kept")
    sweep(storage.project, storage.services, young_seconds=-3600)
    assert storage.get(bucket, "a").data == b"kept", "A sweep removes nothing that a row names"


def test_a_page_is_not_sent_as_one(storage):
    bucket = storage.bucket(public=True)
    storage.put(bucket, "a.html", b"<script>", Content_Type="text/html")
    found = storage.call("GET", f"/object/public/{bucket}/a.html", bearer=None).headers["Content-Type"]
    assert not found.startswith("text/html"), "A stranger's page is not run as ours"


def test_a_bomb_is_refused_by_its_head():
    said, _made = answer({"wanted": {"width": 10}, "format": None}, bomb(12_000, 12_000))
    assert said.get("refused", "").endswith("too large to process"), "A picture of too many pixels is not read"


def test_what_was_made_of_a_picture_goes_with_it(storage):
    bucket = storage.bucket()
    storage.put(bucket, "a.png", picture("png"), Content_Type="image/png")
    storage.call("GET", f"/render/image/authenticated/{bucket}/a.png?width=10")
    storage.call("DELETE", f"/object/{bucket}/a.png")
    left = ResultFolder(storage.folder, storage.id).blobs() - storage.named_blobs()
    assert not left, "Nothing is left of a picture that was removed"
