"""Who may what by S3: every verb, by every kind of signature, reads or writes only where it may."""

from __future__ import annotations

import secrets
import time

import httpx
import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from infra.secrets import tokens
from tests.app.storage.world import ACCESS_KEY

MB = 1024 * 1024
REVOKED = "f" * 32
WAY = {"Bucket": "BUCKET", "Key": "mine.txt"}
# Every verb: the client's method, and what it is given.
VERBS = {
    "list buckets": ("list_buckets", {}),
    "create bucket": ("create_bucket", {"Bucket": "NEW"}),
    "head bucket": ("head_bucket", {"Bucket": "BUCKET"}),
    "location": ("get_bucket_location", {"Bucket": "BUCKET"}),
    "versioning": ("get_bucket_versioning", {"Bucket": "BUCKET"}),
    "delete bucket": ("delete_bucket", {"Bucket": "BUCKET"}),
    "list": ("list_objects", {"Bucket": "BUCKET"}),
    "list v2": ("list_objects_v2", {"Bucket": "BUCKET"}),
    "get": ("get_object", WAY),
    "head": ("head_object", WAY),
    "put": ("put_object", {**WAY, "Body": b"changed"}),
    "put new": ("put_object", {"Bucket": "BUCKET", "Key": "new.txt", "Body": b"x"}),
    "copy": ("copy_object", {"Bucket": "BUCKET", "Key": "copy.txt", "CopySource": WAY}),
    "delete": ("delete_object", WAY),
    "delete many": ("delete_objects", {"Bucket": "BUCKET", "Delete": {"Objects": [{"Key": "mine.txt"}]}}),
    "begin parts": ("create_multipart_upload", WAY),
    "part": ("upload_part", {**WAY, "UploadId": "UPLOAD", "PartNumber": 1, "Body": b"changed"}),
    "part copy": ("upload_part_copy", {**WAY, "UploadId": "UPLOAD", "PartNumber": 1, "CopySource": WAY}),
    "list parts": ("list_parts", {**WAY, "UploadId": "UPLOAD"}),
    "list uploads": ("list_multipart_uploads", {"Bucket": "BUCKET"}),
    "complete": (
        "complete_multipart_upload",
        {**WAY, "UploadId": "UPLOAD", "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "ETAG"}]}},
    ),
    "abort": ("abort_multipart_upload", {**WAY, "UploadId": "UPLOAD"}),
}


@pytest.fixture(scope="module")
def rules(world):
    """A private bucket whose policies give each user what is theirs."""
    bucket, mine, others = world.bucket(), world.person()[1], world.person()[1]
    rule = f"bucket_id = '{bucket}' AND owner_id = (SELECT auth.uid()::text)"
    world.policy(f"CREATE POLICY own ON storage.objects TO authenticated USING ({rule}) WITH CHECK ({rule})")
    world.policy(f"CREATE POLICY seen ON storage.buckets FOR SELECT TO authenticated USING (id = '{bucket}')")
    yield {"BUCKET": bucket, "mine": mine, "others": others}
    world.policy("DROP POLICY own ON storage.objects; DROP POLICY seen ON storage.buckets")


@pytest.fixture
def town(shop, rules):
    """The bucket, with an object of a user's, and an upload of theirs that is under way."""
    client = shop.user(rules["mine"])
    named = {"Bucket": rules["BUCKET"], "Key": "mine.txt"}
    shop.client().delete_object(**named)  # what the service has put in its place is not theirs
    client.put_object(**named, Body=b"mine", ContentType="text/plain")
    upload = client.create_multipart_upload(**named)["UploadId"]
    etag = client.upload_part(**named, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    yield {**rules, "UPLOAD": upload, "ETAG": etag}
    shop.client().abort_multipart_upload(**named, UploadId=upload)


@pytest.fixture(scope="module")
def http():
    """Whoever has a URL."""
    with httpx.Client(timeout=30) as client:
        yield client


def filled(value, town):
    if isinstance(value, dict):
        return {name: filled(each, town) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, town) for each in value]
    return (
        f"n-{secrets.token_hex(5)}" if value == "NEW" else town.get(value, value) if isinstance(value, str) else value
    )


def ask(client, town, verb):
    """Ask; return the answer, or the code and status of what is refused."""
    method, given = VERBS[verb]
    try:
        return getattr(client, method)(**filled(given, town))
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def state(shop, town):
    """Return what must not change."""
    rows, bucket = shop.storage.rows, (town["BUCKET"],)
    return (
        rows("SELECT name, version FROM storage.objects WHERE bucket_id = %s ORDER BY 1", bucket),
        rows("SELECT id, public FROM storage.buckets ORDER BY 1"),
        rows("SELECT id FROM storage.s3_multipart_uploads ORDER BY 1"),
        rows("SELECT id, version FROM storage.s3_multipart_uploads_parts ORDER BY 1"),
        shop.storage.blobs(),
    )


def foreign(shop):
    """Return what proves nothing here, by what is wrong with it: key, secret and token, and what who sends it is told."""
    now, spec = int(time.time()), shop.storage.spec
    user = {"role": "service_role", "sub": "0" * 8, "iat": now}
    good, other = secrets.token_hex(32), secrets.token_urlsafe(32)

    def session(claims, key=shop.storage.secret):
        return shop.storage.id, spec.session_keys[0], tokens.sign_token(claims, key)

    token = tokens.sign_token({**user, "exp": now + 600}, shop.storage.secret)
    return {
        "unsigned": ((), "AccessDenied", 403),
        "signed as of old": ((), "InvalidRequest", 400),
        "with a wrong secret": ((ACCESS_KEY, good), "SignatureDoesNotMatch", 403),
        "with another project's key": (("e" * 32, good), "InvalidAccessKeyId", 403),
        "with a revoked key": ((REVOKED, good), "InvalidAccessKeyId", 403),
        "with an access key and a token": ((ACCESS_KEY, good, token), "InvalidAccessKeyId", 403),
        "as another project": (("proj_0123456789abcdef", spec.session_keys[0], token), "InvalidAccessKeyId", 403),
        "in a session that another key signs": ((shop.storage.id, other, token), "SignatureDoesNotMatch", 403),
        "in a session that has ended": (session({**user, "exp": now - 1}), "ExpiredToken", 400),
        "in a session of another project": (session({**user, "exp": now + 600}, other), "InvalidToken", 400),
        "in a session without an end": (session(user), "InvalidToken", 400),
        "in a session of no role here": (session({**user, "role": "postgres", "exp": now + 600}), "AccessDenied", 403),
        "in a session of junk": ((shop.storage.id, spec.session_keys[0], "junk"), "InvalidToken", 400),
        "without a token": ((shop.storage.id, spec.session_keys[0]), "InvalidAccessKeyId", 403),
    }


KINDS = ["unsigned", "signed as of old", "with a wrong secret", "with another project's key", "with a revoked key",
         "with an access key and a token", "as another project", "in a session that another key signs",
         "in a session that has ended", "in a session of another project", "in a session without an end",
         "in a session of no role here", "in a session of junk", "without a token"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_that_proves_nothing_opens_nothing(shop, town, kind):
    shop.storage.configure(spec={"access_keys": {**shop.storage.spec.access_keys, REVOKED: "0" * 64}})
    shop.storage.configure(
        spec={"access_keys": {key: value for key, value in shop.storage.spec.access_keys.items() if key != REVOKED}}
    )
    given, code, status = foreign(shop)[kind]
    version = {"unsigned": UNSIGNED, "signed as of old": "s3"}.get(kind, "s3v4")
    client = shop.client(*given, signature_version=version)
    before = state(shop, town)
    for verb in VERBS:
        answer = ask(client, town, verb)
        assert answer in ((code, status), (str(status), status)), verb
    assert state(shop, town) == before


def test_a_key_is_good_from_when_storage_is_told_until_it_is_revoked(shop, town):
    secret = secrets.token_hex(32)
    client = shop.client(REVOKED, secret)
    assert ask(client, town, "get") == ("InvalidAccessKeyId", 403)
    known = shop.storage.spec.access_keys
    shop.storage.configure(spec={"access_keys": {**known, REVOKED: secret}})
    assert ask(client, town, "get")["ContentLength"] == 4
    shop.storage.configure(spec={"access_keys": known})
    assert ask(client, town, "get") == ("InvalidAccessKeyId", 403)


@pytest.mark.parametrize("who", ["others", "anon"])
def test_who_may_nothing_sees_and_changes_nothing(shop, town, who):
    client, before = shop.user(town.get(who) or shop.storage.key("anon")), state(shop, town)
    for verb in VERBS:
        answer = ask(client, town, verb)
        if verb in ("list buckets", "list", "list v2", "list uploads", "delete", "delete many"):
            # What is not seen is not there, and what is not there has been deleted.
            assert "Contents" not in answer, verb
            assert "Uploads" not in answer, verb
        elif who == "others" and verb in ("head bucket", "location", "versioning"):
            assert isinstance(answer, dict), verb
        elif who == "others" and verb == "put new":
            assert answer["ETag"], "theirs is their own"
            client.delete_object(Bucket=town["BUCKET"], Key="new.txt")
        else:
            assert isinstance(answer, tuple), verb
            assert answer[1] in ((403, 404, 409) if verb == "delete bucket" else (403, 404)), verb
    assert state(shop, town) == before


def test_whose_it_is_may_all_of_it(shop, town):
    client = shop.user(town["mine"])
    for verb in ("head bucket", "list", "list v2", "get", "head", "put", "copy", "list parts", "list uploads", "part"):
        answer = ask(client, town, verb)
        assert isinstance(answer, dict), (verb, answer)
    assert [entry["Key"] for entry in ask(client, town, "list")["Contents"]] == ["copy.txt", "mine.txt"]
    assert [each["UploadId"] for each in ask(client, town, "list uploads")["Uploads"]] == [town["UPLOAD"]]
    assert ask(client, town, "create bucket") == ("AccessDenied", 403)
    owners = shop.storage.rows("SELECT DISTINCT owner_id FROM storage.objects WHERE bucket_id = %s", (town["BUCKET"],))
    assert len(owners) == 1
    assert "Errors" not in ask(client, town, "delete many")


def test_what_may_be_seen_and_not_deleted_stays_and_is_said(shop):
    bucket, (_, token) = shop.storage.bucket(), shop.storage.person()
    shop.storage.put(bucket, "k")
    shop.storage.policy(
        f"CREATE POLICY look ON storage.objects FOR SELECT TO authenticated USING (bucket_id = '{bucket}')"
    )
    client = shop.user(token)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="k")
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "none"}]})
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]
    assert [each["Key"] for each in answer["Deleted"]] == ["none"]
    shop.storage.policy("DROP POLICY look ON storage.objects")
    assert shop.storage.get(bucket, "k").data == b"hello"


def test_a_policy_knows_which_operation_asks(shop):
    bucket, (_, token) = shop.storage.bucket(), shop.storage.person()
    shop.storage.policy(
        f"CREATE POLICY parts ON storage.objects TO authenticated USING (bucket_id = '{bucket}') WITH CHECK "
        f"(bucket_id = '{bucket}' AND storage.allow_only_operation('s3.upload'))"
    )
    client = shop.user(token)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.create_multipart_upload(Bucket=bucket, Key="k2")
    shop.storage.policy("DROP POLICY parts ON storage.objects")


PRESIGNED = {
    "get_object": ("GET", WAY, None),
    "head_object": ("HEAD", WAY, None),
    "put_object": ("PUT", WAY, b"changed"),
    "delete_object": ("DELETE", WAY, None),
    "list_objects_v2": ("GET", {"Bucket": "BUCKET"}, None),
}


@pytest.mark.parametrize("operation", PRESIGNED)
def test_a_presigned_url_is_good_for_one_verb_one_path_and_its_time(shop, town, http, operation):
    verb, given, body = PRESIGNED[operation]
    client, before = shop.client(), state(shop, town)
    url = client.generate_presigned_url(operation, filled(given, town), ExpiresIn=60)
    elsewhere = url.replace("mine.txt?", "other.txt?") if "mine.txt" in url else url.replace("?", "/mine.txt?")
    longer, more = url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"), f"{url}&response-content-type=text/html"
    for wrong in (elsewhere, longer, more, url[:-1] + ("0" if url[-1] != "0" else "1")):
        assert http.request(verb, wrong, content=body).status_code == 403, wrong
    for other in {"GET", "PUT", "DELETE", "POST", "HEAD"} - {verb}:
        assert http.request(other, url, content=b"x" if other == "PUT" else None).status_code in (403, 405), other
    shop.storage.now = lambda: time.time() + 61
    late = http.request(verb, url, content=body)
    assert late.status_code == 403
    assert verb == "HEAD" or "Request has expired" in late.text
    shop.storage.now = lambda: time.time() - 16 * 60
    assert http.request(verb, url, content=body).status_code == 403
    shop.storage.now = time.time
    assert state(shop, town) == before
    assert http.request(verb, url, content=body).status_code in (200, 204)


def test_a_presigned_url_of_a_user_is_theirs(shop, town, http):
    url = shop.user(town["mine"]).generate_presigned_url("get_object", filled(WAY, town))
    assert http.get(url).status_code == 200
    theirs = shop.user(town["others"]).generate_presigned_url("get_object", filled(WAY, town))
    assert http.get(theirs).status_code == 404
    assert "X-Amz-Security-Token" in url
    assert http.get(url.replace("X-Amz-Security-Token=", "X-Amz-Security-Token=x")).status_code == 403


def test_a_page_behind_a_presigned_url_runs_in_no_browser(shop, bucket, http):
    client = shop.client()
    client.put_object(Bucket=bucket, Key="p.html", Body=b"<script>1</script>", ContentType="text/html")
    named = {"Bucket": bucket, "Key": "p.html"}
    for given in (named, {**named, "ResponseContentType": "text/html"}):
        answer = http.get(client.generate_presigned_url("get_object", given))
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.head_object(**named)["ContentType"] == "text/html"


def test_a_clock_that_is_wrong_is_said(shop, bucket):
    for away in (-16 * 60, 16 * 60):
        shop.storage.now = lambda away=away: time.time() + away
        with pytest.raises(ClientError, match="RequestTimeTooSkewed"):
            shop.client().list_objects_v2(Bucket=bucket)
    shop.storage.now = lambda: time.time() + 14 * 60
    shop.client().list_objects_v2(Bucket=bucket)


def test_a_project_that_is_not_there_is_no_other(shop):
    elsewhere = type(shop)(shop.storage, shop.url.replace(shop.storage.id, "proj_0123456789abcdef"))
    with pytest.raises(ClientError, match="NoSuchProject"):
        elsewhere.client().list_buckets()
