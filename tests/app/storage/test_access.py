"""Who may what: every verb, by every kind of token and signature, reads or writes only where it may."""

from __future__ import annotations

import secrets
import time

import pytest

from infra.secrets import tokens

RAW = {"Content-Type": "text/plain"}
WAY = {"bucketId": "BUCKET", "sourceKey": "mine.txt", "destinationKey": "moved.txt"}
# Every verb that reads or changes something: method, path, body.
VERBS = {
    "create bucket": ("POST", "/bucket", {"name": "NEW"}),
    "list buckets": ("GET", "/bucket?search=BUCKET", None),
    "get bucket": ("GET", "/bucket/BUCKET", None),
    "update bucket": ("PUT", "/bucket/BUCKET", {"public": True}),
    "empty bucket": ("POST", "/bucket/BUCKET/empty", {}),
    "delete bucket": ("DELETE", "/bucket/BUCKET", None),
    "upload": ("POST", "/object/BUCKET/new.txt", b"x"),
    "update": ("PUT", "/object/BUCKET/mine.txt", b"x"),
    "download": ("GET", "/object/BUCKET/mine.txt", None),
    "download as user": ("GET", "/object/authenticated/BUCKET/mine.txt", None),
    "render": ("GET", "/render/image/authenticated/BUCKET/mine.txt", None),
    "head": ("HEAD", "/object/BUCKET/mine.txt", None),
    "info": ("GET", "/object/info/BUCKET/mine.txt", None),
    "list": ("POST", "/object/list/BUCKET", {"prefix": ""}),
    "list keys": ("POST", "/object/list-v2/BUCKET", {}),
    "move": ("POST", "/object/move", WAY),
    "copy": ("POST", "/object/copy", WAY),
    "delete": ("DELETE", "/object/BUCKET/mine.txt", None),
    "delete many": ("DELETE", "/object/BUCKET", {"prefixes": ["mine.txt"]}),
    "sign": ("POST", "/object/sign/BUCKET/mine.txt", {"expiresIn": 60}),
    "sign many": ("POST", "/object/sign/BUCKET", {"expiresIn": 60, "paths": ["mine.txt"]}),
    "sign upload": ("POST", "/object/upload/sign/BUCKET/new.txt", {}),
    "begin upload": ("POST", "/upload/resumable", None),
}  # fmt: skip
# What whoever sees nothing is answered, where that is no refusal.
SEES_NOTHING = {"list buckets", "list", "list keys", "delete many", "sign many"}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "1"}


@pytest.fixture(scope="module")
def town(world):
    """A private bucket with an object of a user's, whose policies give each user what is theirs."""
    bucket, (subject, mine), (_, others) = world.bucket(), world.person(), world.person()
    rule = f"bucket_id = '{bucket}' AND owner_id = (SELECT auth.uid()::text)"
    world.policy(f"CREATE POLICY own ON storage.objects TO authenticated USING ({rule}) WITH CHECK ({rule})")
    world.call("POST", f"/object/{bucket}/mine.txt", b"mine", bearer=mine, headers=RAW)
    yield {"bucket": bucket, "subject": subject, "mine": mine, "others": others}
    world.policy("DROP POLICY own ON storage.objects")


def ask(world, town, verb, bearer, query="", headers=None):
    method, path, body = VERBS[verb]
    sent = {**(RAW if isinstance(body, bytes) else {}), **(headers or {})}
    if verb == "begin upload":
        import base64

        said = {"bucketName": town["bucket"], "objectName": "new.txt"}
        sent |= TUS
        sent["Upload-Metadata"] = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in said.items())
    if isinstance(body, dict):
        body = {name: town["bucket"] if value == "BUCKET" else value for name, value in body.items()}
        body = {name: f"n-{secrets.token_hex(5)}" if value == "NEW" else value for name, value in body.items()}
    path = path.replace("BUCKET", town["bucket"])
    return world.call(
        method, path + ("&" if "?" in path else "?") * bool(query) + query, body, bearer=bearer, headers=sent
    )


def untouched(world, town):
    """Return what must not change."""
    return (
        world.call("GET", f"/bucket/{town['bucket']}").json,
        world.rows("SELECT name, version FROM storage.objects WHERE bucket_id = %s ORDER BY 1", (town["bucket"],)),
        world.rows("SELECT count(*) FROM storage.buckets"),
        world.rows("SELECT count(*) FROM storage.launchdb_uploads"),
    )


def foreign(world):
    """Return tokens that prove nothing here, by what is wrong with them."""
    now, key = int(time.time()), world.secret
    service = {"role": "service_role", "iat": now, "exp": now + 600}
    good = tokens.sign_token(service, key)
    head, claims, signature = good.split(".")
    return {
        "nothing": None,
        "junk": "junk",
        "of another project": tokens.sign_token(service, secrets.token_urlsafe(32)),
        "expired": tokens.sign_token({**service, "exp": now - 1}, key),
        "of tomorrow": tokens.sign_token({**service, "iat": now + 3600}, key),
        "without an end": tokens.sign_token({"role": "service_role"}, key),
        "of no role here": tokens.sign_token({**service, "role": "postgres"}, key),
        "of another's role": tokens.sign_token({**service, "role": "proj_0123456789abcdef_service"}, key),
        "one bit wrong": f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "unsigned": f"eyJhbGciOiJub25lIn0.{claims}.",
        "an opaque key": "sb_secret_" + "x" * 24,
    }


KINDS = ["nothing", "junk", "of another project", "expired", "of tomorrow", "without an end", "of no role here",
         "of another's role", "one bit wrong", "unsigned", "an opaque key"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_proves_nothing_opens_nothing(storage, town, kind):
    token, before = foreign(storage)[kind], untouched(storage, town)
    for verb in VERBS:
        answer = ask(storage, town, verb, token)
        assert answer.status_code == 400, f"{verb}: {answer.text}"
        assert verb in ("head", "begin upload") or answer.json["statusCode"] in ("400", "403", "404"), verb
    assert untouched(storage, town) == before


@pytest.mark.parametrize("who", ["anon", "others"])
def test_who_may_nothing_sees_and_changes_nothing(storage, town, who):
    bearer, before = town.get(who, who), untouched(storage, town)
    for verb in VERBS:
        answer = ask(storage, town, verb, bearer)
        if who == "others" and verb in ("upload", "sign upload", "begin upload"):
            continue  # theirs would be their own
        if verb in SEES_NOTHING:
            assert answer.status_code == 200, f"{verb}: {answer.text}"
            assert 'signedURL":"' not in answer.text
            assert 'mine.txt","id' not in answer.text
        else:
            assert answer.status_code in (400, 403), f"{verb}: {answer.text}"
    if who == "anon":
        assert untouched(storage, town) == before
    assert storage.get(town["bucket"], "mine.txt").data == b"mine"


def test_whose_it_is_may_all_of_it(storage, town):
    for verb in ("download", "download as user", "head", "info", "sign", "update", "copy"):
        assert ask(storage, town, verb, town["mine"]).status_code == 200, verb
    assert [entry["name"] for entry in ask(storage, town, "list", town["mine"]).json] == ["mine.txt", "moved.txt"]
    assert [row["name"] for row in ask(storage, town, "list keys", town["mine"]).json["objects"]] == [
        "mine.txt",
        "moved.txt",
    ]
    assert storage.call("DELETE", f"/object/{town['bucket']}/moved.txt", bearer=town["mine"]).status_code == 200
    storage.call("PUT", f"/object/{town['bucket']}/mine.txt", b"mine", bearer=town["mine"], headers=RAW)


def signatures(storage, town):
    """Return what a good signature of each kind is, and some that are none for this."""
    bucket = town["bucket"]
    download = storage.call("POST", f"/object/sign/{bucket}/mine.txt", {"expiresIn": 60}).json["signedURL"]
    upload = storage.call("POST", f"/object/upload/sign/{bucket}/signed.txt", {}).json["token"]
    return download.partition("token=")[2], upload


def test_a_signature_in_the_query_lowers_no_check_of_another_verb(storage, town):
    before = untouched(storage, town)
    for token in (*signatures(storage, town), "junk", storage.key("service_role")):
        for verb in VERBS:
            for headers in ({}, {"X-Signature": token}):
                answer = ask(storage, town, verb, None, query=f"token={token}&apikey={token}", headers=headers)
                assert answer.status_code == 400, f"{verb}: {answer.text}"
    assert untouched(storage, town) == before


def test_a_signature_is_for_one_path_one_verb_and_its_time(storage, town):
    bucket = town["bucket"]
    read, write = signatures(storage, town)
    mine, signed = f"/object/sign/{bucket}/mine.txt", f"/object/upload/sign/{bucket}/signed.txt"
    good = storage.call("GET", f"{mine}?token={read}", bearer=None)
    assert good.data == b"mine"
    assert storage.call("GET", f"{mine}?token={read}", bearer=None, headers={"Range": "bytes=0-1"}).data == b"mi"
    assert storage.call("HEAD", f"{mine}?token={read}", bearer="junk").status_code == 200
    other = storage.put(bucket, "other.txt", x_upsert="true")["Key"]
    head, claims, signature = read.split(".")
    for method, path, token in (
        ("GET", f"/object/sign/{other}", read), ("GET", f"/object/sign/{bucket}/%2e%2e/{bucket}/mine.txt", read),
        ("GET", mine, write), ("GET", mine, ""), ("GET", mine, read.lower()), ("GET", mine, read[:-2]), ("GET", mine, "junk"),
        ("GET", mine, f"{read}&token={read}"), ("GET", mine, f"{head}.{claims}.{signature[::-1]}"),
        ("GET", mine, storage.key("service_role")), ("GET", mine, storage.key("service_role", url=f"{bucket}/mine.txt", scope="download")),
        ("PUT", signed, read), ("PUT", f"/object/upload/sign/{bucket}/x.txt", write), ("PUT", signed, ""), ("PUT", signed, "junk"),
        ("PUT", signed, f"{write}&token={write}"),
    ):  # fmt: skip
        answer = storage.call(
            method, f"{path}?token={token}", b"x" if method == "PUT" else None, bearer=None, headers=RAW
        )
        assert (answer.status_code, answer.json["statusCode"]) == (400, "400"), (path, token, answer.text)
    assert storage.call("GET", mine, bearer=None).status_code == 400
    storage.now = lambda: time.time() + 61
    assert storage.call("GET", f"{mine}?token={read}", bearer=None).json["error"] == "ExpiredToken"
    storage.now = lambda: time.time() + storage.project.settings.signed_url_seconds + 1
    assert (
        storage.call("PUT", f"{signed}?token={write}", b"x", bearer=None, headers=RAW).json["error"] == "ExpiredToken"
    )


def test_a_signature_of_another_project_opens_nothing(storage, town):
    now, url = int(time.time()), f"{town['bucket']}/mine.txt"
    claims = {"url": url, "scope": "download", "iat": now, "exp": now + 60}
    for key, more in (
        (secrets.token_urlsafe(32), {"aud": f"storage:{storage.id}"}),
        (storage.spec.url_keys[0], {"aud": "storage:proj_0123456789abcdef"}),
        (storage.spec.url_keys[0], {}),
        (storage.secret, {"aud": f"storage:{storage.id}"}),
    ):
        token = tokens.sign_token({**claims, **more}, key)
        assert storage.call("GET", f"/object/sign/{url}?token={token}", bearer=None).status_code == 400


def test_a_signed_upload_is_whose_who_signed_and_policies_decide_again(storage, town):
    bucket = town["bucket"]
    path = f"/object/upload/sign/{bucket}/as-me.txt"
    token = storage.call("POST", path, {}, bearer=town["mine"]).json["token"]
    assert storage.call("PUT", f"{path}?token={token}", b"by link", bearer=None, headers=RAW).status_code == 200
    ((owner,),) = storage.rows("SELECT owner_id FROM storage.objects WHERE name = 'as-me.txt'")
    assert owner == town["subject"]
    token = storage.call("POST", f"{path}2", {}, bearer=town["mine"]).json["token"]
    storage.policy("ALTER POLICY own ON storage.objects WITH CHECK (false)")
    try:
        assert storage.call("PUT", f"{path}2?token={token}", b"x", bearer=None, headers=RAW).json["statusCode"] == "403"
    finally:
        rule = f"bucket_id = '{bucket}' AND owner_id = (SELECT auth.uid()::text)"
        storage.policy(f"ALTER POLICY own ON storage.objects WITH CHECK ({rule})")


def test_urls_end_with_the_key_that_signed_them(storage, town):
    read, _ = signatures(storage, town)
    path = f"/object/sign/{town['bucket']}/mine.txt?token={read}"
    fresh = secrets.token_urlsafe(32)
    kept = list(storage.spec.url_keys)
    storage.configure(spec={"url_keys": [fresh, *kept]})
    assert storage.call("GET", path, bearer=None).status_code == 200
    storage.configure(spec={"url_keys": [fresh]})
    assert storage.call("GET", path, bearer=None).status_code == 400
    storage.configure(spec={"url_keys": kept})


def test_a_policy_decides_before_a_byte_is_read(storage, town):
    class Unread:
        def read(self, _size=-1):
            raise AssertionError("the body was read")

    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": "1000", "wsgi.input_terminated": True}
    answer = storage.call("POST", f"/object/{town['bucket']}/a", bearer="anon", headers=RAW, environ_overrides=environ)
    assert answer.json["statusCode"] == "403"


def test_what_a_policy_has_set_does_not_reach_the_next_request(storage, town):
    storage.policy(
        "CREATE FUNCTION public.leaves() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM set_config('request.jwt.claims', '{\"sub\": \"left\"}', false), set_config('search_path', 'x', false); "
        "RETURN true; END $$"
    )
    storage.policy("CREATE POLICY leaving ON storage.objects FOR SELECT TO anon USING (public.leaves())")
    try:
        storage.call("POST", f"/object/list/{town['bucket']}", {"prefix": ""}, bearer="anon")
    finally:
        storage.policy("DROP POLICY leaving ON storage.objects; DROP FUNCTION public.leaves()")
    assert storage.call("POST", f"/object/list/{town['bucket']}", {"prefix": ""}, bearer="anon").json == []
    with storage.project.pool.lend() as connection:
        left = connection.execute("SELECT current_setting('request.jwt.claims', true), current_user").fetchone()
    assert (left[0] or "", left[1]) == ("", storage.tenant.roles.storage)


def test_a_browser_is_told_what_it_may_whatever_the_answer(storage, town):
    origin = {"Origin": "https://app.example.org"}
    asked = {
        **origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "upload-offset,x-signature",
    }
    answer = storage.call("OPTIONS", "/upload/resumable/x", bearer=None, headers=asked)
    assert answer.status_code == 200
    assert {"upload-offset", "x-signature", "x-upsert"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", ")
    )
    for bearer, status in (("junk", 400), ("service_role", 200)):
        answer = storage.get(town["bucket"], "mine.txt", bearer=bearer, headers=origin)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Upload-Offset" in answer.headers["Access-Control-Expose-Headers"]
