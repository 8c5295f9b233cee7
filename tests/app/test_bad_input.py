"""Bad input, row by row: never a 5xx, a problem document, and nothing changed."""

from __future__ import annotations

import json
import time

import pytest

from config.settings import CHECKOUT

MIB = 1024 * 1024

NAMES = [
    ("", 422),
    ("   ", 422),
    ("abc\n", 422),
    ("abc\0def", 422),
    ("../../etc", 422),
    ('x" WITH OWNER postgres;--', 422),
    ("$(touch /tmp/pwn)", 422),
    ("ｐroject", 422),
    ("a\u200bb", 422),
    ("a" * 81, 422),
    ("a" * 1_000_000, 422),
    (123, 422),
    (None, 422),
    (["a"], 422),
    (True, 422),
    ("-rf", 202),
    ("--help", 202),
    ("platform", 202),
    ("pgbouncer", 202),
    ("a" * 63 + "b", 202),
]

BODIES = [
    ("an open brace", b"{", 400),
    ("nothing", b"", 400),
    ("a list", b"[1]", 422),
    ("a text", b'"text"', 422),
    ("null", b"null", 422),
    ("an owner", b'{"name":"a","owner_id":"other"}', 422),
    ("a number beyond all", b'{"name":"a","poolSize":1e999}', 400),
    ("NaN", b'{"name":NaN}', 400),
    ("infinity", b'{"name":-Infinity}', 400),
    ("braces without end", b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
    ("brackets without end", b"[" * 100_000, 400),
    ("forty brackets", b'{"name":' + b"[" * 40 + b"]" * 40 + b"}", 400),
    ("5,000 digits", b'{"poolSize":' + b"9" * 5000 + b"}", 400),
    ("more than 64 bits", b'{"poolSize":9223372036854775808}', 400),
    ("NUL, escaped", rb'{"name":"\u0000"}', 422),
    ("NUL as a member", rb'{"\u0000":"a"}', 422),
    ("a lone surrogate", rb'{"name":"\ud800"}', 422),
    ("a doubled member", b'{"name":"a","name":"b"}', 400),
    ("broken UTF-8", b'{"name":"\xff"}', 400),
    ("UTF-16", '{"name":"a"}'.encode("utf-16"), 400),
    ("a byte order mark", b'\xef\xbb\xbf{"name":"a"}', 400),
    ("a raw control character", b'{"name":"a\x01"}', 400),
    ("a fraction", b'{"name":"a","poolSize":5.0}', 422),
    ("a number as text", b'{"name":"a","poolSize":"5"}', 422),
    ("too small a pool", b'{"name":"a","poolSize":0}', 422),
    ("an unknown member", b'{"name":"a","x":1}', 422),
    ("more than a MiB", b'{"name":"' + b"a" * MIB + b'"}', 413),
]

IDS = [
    "proj_ffffffffffffffff",
    "proj_",
    "PROJ_ABC",
    "proj_abc%00",
    "proj_abc%0a",
    "%2e%2e",
    "proj_a;select 1",
    "proj_ffffffffffffffff%0a",
    "a" * 10_000,
]

PAGES = ["limit=0", "limit=201", "limit=-1", "limit=1e9", "limit=x", "limit=１", "limit=", "cursor=x", "cursor=%00"]
PAGES += ["cursor=W10", "cursor=WzEsMl0", "limit=1&limit=2", "unknown=1", "cursor=" + "W" * 399]


def problem(answer, status):
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = answer.json()
    assert {"type", "title", "status", "detail", "instance", "requestId"} <= set(found)
    assert found["status"] == status
    assert found["requestId"] == answer.headers["X-Request-Id"]
    for word in ("Traceback", "psycopg", "SELECT", str(CHECKOUT), ".py"):
        assert word not in answer.text
    return found


@pytest.mark.timing
def test_names_of_projects_are_plain_or_refused_with_a_pointer(owner, town):
    for name, status in NAMES:
        started = time.monotonic()
        answer = owner.post("/api/projects", json={"name": name})
        assert time.monotonic() - started < 1
        if status == 202:
            assert answer.status_code == 202, (name, answer.text)
            assert answer.json()["project"]["name"] == name
        else:
            assert problem(answer, status)["errors"][0]["pointer"] == "/name"
    kept = [row["name"] for row in town.rows("SELECT name FROM projects ORDER BY created_at")]
    assert kept == [name for name, status in NAMES if status == 202]


def test_a_name_is_trimmed_and_unique_for_its_owner_only(owner, town):
    assert owner.project("  shop ")["name"] == "shop"
    assert problem(owner.post("/api/projects", json={"name": "shop"}), 409)["type"] == "/problems/name-taken"
    assert town.owner().project("shop")["name"] == "shop"


@pytest.mark.timing
def test_bodies_that_are_no_good_json_are_refused(owner, town):
    for what, body, status in BODIES:
        started = time.monotonic()
        answer = owner.post("/api/projects", content=body, headers={"Content-Type": "application/json"})
        assert time.monotonic() - started < 1, what
        problem(answer, status)
    assert town.rows("SELECT id FROM projects") == []


def test_a_fault_deep_inside_is_pointed_at(owner):
    body = json.dumps({"name": "a", "x/y": [{"z": "\0"}]}).encode()
    answer = owner.post("/api/projects", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer, 422)["errors"] == [
        {"pointer": "/x~1y/0/z", "detail": "must not contain the character U+0000"}
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
def test_other_media_types_and_encodings_are_refused_unread(owner, headers):
    problem(owner.post("/api/projects", content=b'{"name":"a"}', headers=headers), 415)


def test_an_id_that_is_none_and_one_of_somebody_else_get_the_same_answer(owner, town):
    theirs = town.owner().project()["id"]
    told = []
    for project_id in [theirs, *IDS]:
        answer = owner.get(f"/api/projects/{project_id}")
        found = problem(answer, 404)
        told.append({name: found[name] for name in ("type", "title", "detail")})
        problem(owner.delete(f"/api/projects/{project_id}"), 404)
        problem(owner.patch(f"/api/projects/{project_id}", json={"name": "mine"}), 404)
        problem(owner.get(f"/api/projects/{project_id}/connection"), 404)
        problem(owner.get(f"/api/jobs/{project_id}"), 404)
    assert all(found == told[0] for found in told)
    assert town.rows("SELECT name, status FROM projects") == [{"name": "demo", "status": "provisioning"}]


@pytest.mark.parametrize("path", ["/api/projects", "/api/jobs", "/api/tokens"])
def test_a_query_that_is_not_documented_is_refused(owner, path):
    for query in PAGES:
        problem(owner.get(f"{path}?{query}"), 400)


@pytest.mark.parametrize("query", ["status=nope", "projectId=%00", "kind=%0a", "parentId=a%27--", "wait=1"])
def test_a_filter_that_cannot_be_is_refused(owner, query):
    problem(owner.get(f"/api/jobs?{query}"), 400)


def test_methods_and_paths_that_are_not_there_are_problems_too(owner):
    answer = owner.put("/api/projects", json={})
    problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    problem(owner.options("/api/projects"), 405)
    problem(owner.get("/api/projects/"), 404)
    problem(owner.get("//api/projects"), 404)
    problem(owner.get("/metrics"), 404)
    problem(owner.get("/internal/x"), 404)
    answer = owner.get("/nope", headers={"Accept": "text/html"})
    problem(answer, 404)
    assert "Server" not in answer.headers


def test_an_overriding_header_does_not_change_the_method(owner, town):
    project = owner.project()["id"]
    assert owner.get(f"/api/projects/{project}", headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 200
    assert town.rows("SELECT status FROM projects")[0]["status"] == "provisioning"


@pytest.mark.parametrize("key", ["", "k" * 256, "a\x7fb"])
def test_an_idempotency_key_is_printable_ascii(owner, key, town):
    problem(owner.post("/api/projects", json={"name": "a"}, headers={"Idempotency-Key": key}), 400)
    assert town.rows("SELECT id FROM projects") == []


def test_a_request_id_is_kept_when_it_is_fit_and_made_when_not(owner):
    assert owner.get("/api/health", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    for unfit in ("x" * 129, "a b"):
        assert len(owner.get("/api/health", headers={"X-Request-Id": unfit}).headers["X-Request-Id"]) == 32


def test_a_foreign_origin_gets_no_permission(owner):
    answer = owner.get("/api/projects", headers={"Origin": "https://evil.example", "Cookie": "session=x"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
