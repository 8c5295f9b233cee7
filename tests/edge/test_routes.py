"""What goes where: a project's requests straight to its socket, everything else to the services, nothing past them."""

from __future__ import annotations

import json
import shutil
import socket

import httpx
import pytest

from tests.app.test_bad_input import problem
from tests.edge.conftest import DOMAIN

KEY = {"apikey": "the-key"}


@pytest.fixture
def client(edge):
    return edge.client()


def test_a_request_goes_to_the_socket_of_its_project_as_the_data_api_wants_it(client, project_socket):
    told = client.get(f"/project/{project_socket}/rest/v1/a%2Fb/c?x=eq.1&y=%26", headers=KEY).json()
    assert (told["who"], told["uri"]) == (project_socket, "/a%2Fb/c?x=eq.1&y=%26")
    assert told["headers"]["x-launchdb-prefix"] == f"/project/{project_socket}/rest/v1"
    assert told["headers"]["x-launchdb-gate"] == "apikey"
    assert told["headers"]["authorization"] == "Bearer the-key"
    told = client.get(f"/db/{project_socket}/t?apikey=eq.1").json()
    assert (told["who"], told["uri"]) == (project_socket, "/t?apikey=eq.1")
    assert told["headers"]["x-launchdb-prefix"] == f"/db/{project_socket}"
    assert not {"x-launchdb-gate", "authorization"} & set(told["headers"])


@pytest.mark.parametrize("mount", ["/project/{}/rest/v1", "/db/{}"])
def test_the_root_has_two_spellings(client, project_socket, mount):
    for slash in ("", "/"):
        assert client.get(mount.format(project_socket) + slash, headers=KEY).json()["uri"] == "/"


def test_the_identity_is_the_callers_and_else_the_key_also_one_in_the_query(client, project_socket):
    path = f"/project/{project_socket}/rest/v1/t"
    told = client.get(path, headers={**KEY, "Authorization": "Bearer mine"}).json()
    assert told["headers"]["authorization"] == "Bearer mine"
    for query, left in (
        ("?apikey=k.e-y_", ""),
        ("?x=eq.1&apikey=k.e-y_", "x=eq.1"),
        ("?ApiKey=k.e-y_&x=eq.1", "x=eq.1"),
    ):
        told = client.get(path + query).json()
        assert told["headers"]["authorization"] == "Bearer k.e-y_"
        assert told["uri"].partition("?")[2].strip("&") == left


def test_without_a_key_nothing_passes_and_a_browser_may_read_why(client, project_socket):
    path = f"/project/{project_socket}/rest/v1/t"
    for headers in ({}, {"apikey": ""}, {"Authorization": "Bearer x"}):
        answer = client.post(f"{path}?apikey=", headers=headers, json={})
        assert (answer.status_code, answer.json()["message"]) == (401, "No API key found in request")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Content-Type"].startswith("application/json")
    assert client.options(path).json()["method"] == "OPTIONS"
    assert client.head(path).status_code == 401


def test_what_only_we_say_is_taken_from_clients(client, project_socket):
    forged = {
        "X-Launchdb-Prefix": "/evil",
        "X-Launchdb-Gate": "none",
        "X-Launchdb-Edge": "yes",
        "X-Launchdb-Other": "1",
        "X-Internal-API-Key": "guess",
        "X-Forwarded-Uri": "/evil",
        "X-Forwarded-Method": "POST",
        "X-Forwarded-Host": "evil.example",
    }
    told = client.get(f"/db/{project_socket}/t", headers=forged).json()["headers"]
    ours = {"x-launchdb-gate", "x-launchdb-edge", "x-launchdb-other", "x-internal-api-key", "x-forwarded-uri"}
    assert not ours & set(told), "What only we say is taken from clients"
    assert {name: value for name, value in told.items() if name.startswith("x-")} == {
        "x-launchdb-prefix": f"/db/{project_socket}",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        # Behind a tunnel on a private address its word is taken; with TLS nobody's is.
        "x-forwarded-host": "evil.example",
    }
    told = client.get("/auth/v1/x", headers=forged).json()["headers"]
    assert not [name for name in told if name.startswith(("x-launchdb", "x-internal"))]


@pytest.mark.parametrize(
    "project",
    [
        "proj_0123456789ABCDEF",
        "proj_0123456789abcde",
        "proj_0123456789abcdef0",
        "..",
        "proj_0123456789abcde%2e",
        "%2e%2e",
    ],
)
def test_what_is_no_id_never_becomes_a_path(edge, client, project):
    for path in (f"/project/{project}/rest/v1/t", f"/db/{project}/t", f"/db/{project}/../x"):
        answer = client.get(path, headers=KEY)
        if answer.request.url.path.startswith(("/project/", "/db/")):
            assert (answer.status_code, answer.json()["code"]) == (404, "404")
        else:
            problem(answer, 404)


def test_auth_wants_a_key_but_for_what_has_to_be_open(client):
    base = "/project/proj_0123456789abcdef/auth/v1"
    for path in ("/verify", "/authorize", "/callback", "/health", "/.well-known/jwks.json"):
        assert client.get(base + path).json()["who"] == "auth"
    for path in ("/user", "/verify/x", "/healthy", "/token?grant_type=password", ""):
        answer = client.get(base + path)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")
        assert answer.json()["message"]
        assert client.get(base + path, headers=KEY).json()["uri"] == base + path
    assert client.options(f"{base}/user").json()["who"] == "auth"
    assert client.post("/auth/proj_0123456789abcdef/token", json={}).json()["who"] == "auth"


def test_storage_is_open_and_what_there_is_not_says_so(client):
    base = "/project/proj_0123456789abcdef"
    assert client.get(f"{base}/storage/v1/object/public/b/a.png").json()["who"] == "storage"
    assert (
        client.put("/storage/proj_0123456789abcdef/object/b/a.png", content=b"x" * 100_000).json()["bytes"] == 100_000
    )
    for name in ("realtime", "functions"):
        answer = client.get(f"{base}/{name}/v1/x")
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (404, "*")
        assert answer.json()["message"]


def test_the_platform_has_the_rest(client):
    assert client.get("/").text == "LaunchDB - API running."
    assert client.get("/api/health").json() == {"status": "ok", "service": "platform-api"}
    problem(client.get("/nothing/here"), 404)
    problem(client.get("/api/projects"), 401)


@pytest.mark.parametrize(
    "path",
    ["/internal/postgrest", "/internal", "/metrics", "/api/edge/project", "/api//edge/project", "/api/%65dge/project",
     "/API/Edge/project", "/api/./edge/project", "/api/x/../edge/project", "//api/edge/project", "/api/edge/project/",
     "/admin/x", "/config/"],
)  # fmt: skip
def test_what_is_within_is_not_there_for_those_outside(edge, path):
    raw = ask(edge, f"GET {path} HTTP/1.1", f"Host: {DOMAIN}", "X-Launchdb-Edge: yes", "X-Forwarded-Uri: /db/x")
    assert raw.startswith(b"HTTP/1.1 404 "), f"What is within is not there for those outside: {path}"


def test_what_caddy_asks_the_platform_is_nobody_elses_question(edge, project_socket):
    platform = httpx.Client(base_url=f"http://{edge.ports.platform}")
    told = {"X-Forwarded-Uri": f"/db/{project_socket}/t"}
    problem(platform.get("/api/edge/project", headers=told), 404)
    # Caddy takes the header from clients by its name; to a program that reads both alike, this would be it.
    problem(platform.get("/api/edge/project", headers={**told, "X_Launchdb_Edge": "yes"}), 404)
    for uri in ("/", "/db/proj_0123456789abcdeg/t", "/project/proj_0123456789abcdef/functions/v1/x", ""):
        problem(platform.get("/api/edge/project", headers={"X-Launchdb-Edge": "yes", "X-Forwarded-Uri": uri}), 404)
    answer = platform.get("/api/edge/project", headers={**told, "X-Launchdb-Edge": "yes"})
    assert (answer.status_code, answer.json()["message"]) == (404, "There is no such project")
    platform.close()


def test_another_name_is_nobodys(edge, project_socket):
    for host in ("other.example", "127.0.0.1", project_socket):
        raw = ask(edge, f"GET /db/{project_socket}/t HTTP/1.1", f"Host: {host}")
        assert raw.startswith(b"HTTP/1.1 404 "), f"Another name than ours is nobody's: {host}: {raw[:99]}"
        assert b"Server:" not in raw


def test_answers_bear_what_protects_a_browser_and_nothing_about_us(client, project_socket):
    for path in ("/", "/api/health", f"/db/{project_socket}/t", "/api/edge/project", "/auth/x"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        isolated = "sandbox; default-src 'none'; " if path.startswith("/db") else ""
        assert headers["Content-Security-Policy"] == f"{isolated}frame-ancestors 'none'"
        assert not {"server", "via", "x-powered-by", "strict-transport-security"} & set(headers)
    assert "X-Frame-Options" not in client.get("/storage/x").headers


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "image/svg+xml", "text/javascript"])
def test_a_page_of_whatever_data_api_cannot_act_at_the_platforms_address(client, project_socket, kind):
    """PostgREST's own image sends what functions say."""
    said = {"Content-Type": kind, "Set-Cookie": "a=b", "Clear-Site-Data": '"cookies"'}
    for method in ("GET", "POST"):
        answer = client.request(method, f"/db/{project_socket}/t", headers={"X-Say": json.dumps(said)})
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
        assert not {"set-cookie", "clear-site-data"} & set(answer.headers)
    sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    answer = client.get(f"/db/{project_socket}/t", headers={"X-Say": json.dumps({"Content-Type": sheet})})
    assert answer.headers["Content-Type"] == sheet


def test_a_socket_that_leads_to_the_administration_is_refused_there(edge, client, project_socket):
    link = edge.socket(project_socket)
    link.unlink()
    link.symlink_to(edge.proxy.socket)
    for method, path in (("GET", "/config/"), ("POST", "/load"), ("POST", "/stop")):
        answer = client.request(method, f"/db/{project_socket}{path}", headers={"Origin": "http://launchdb.admin"})
        assert (answer.status_code, "not allowed" in answer.text) == (400, True), answer.text
    assert client.get("/").status_code == 200


def ask(edge, *lines):
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        found = b""
        while more := connection.recv(65536):
            found += more
        return found


def test_two_projects_never_share_a_connection(edge, client, project_socket):
    from tests.edge.witness import witness

    other = "proj_" + project_socket.removeprefix("proj_")[::-1]
    with witness(edge.socket(other), other):
        for _ in range(20):
            assert client.get(f"/db/{other}/t").json()["who"] == other
            assert client.get(f"/db/{project_socket}/t").json()["who"] == project_socket
    shutil.rmtree(edge.folder(other))
