"""Who a request is: tokens, roles, API keys, and what each may see."""

from __future__ import annotations

import time

import pytest

from tests.app.data.conftest import SECRET, token

FAR = int(time.time()) + 3600


def test_without_a_token_the_request_is_anonymous(project):
    assert project.get("/rpc/whoami", role=None).json == f"{project.id}_anon"


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_a_plain_role_is_mapped_to_the_projects_own(project, role):
    headers = {"Authorization": f"Bearer {token({'role': role})}"}
    expected = f"{project.id}_{role.removesuffix('_role')}"
    assert project.get("/rpc/whoami", role=None, headers=headers).json == expected
    assert project.get("/rpc/claims", role=None, headers=headers).json["role"] == role


@pytest.mark.parametrize(
    "role", ["none", "postgres", "anon", "x_authenticator", "proj_0123456789abcdef_service", "", "pg_read_all_data"]
)
def test_a_role_that_is_not_the_projects_is_refused(project, role):
    for wanted in (role, f"{project.id}_authenticator"):
        headers = {"Authorization": f"Bearer {token({'db_role': wanted})}"}
        assert project.get("/rpc/whoami", role=None, headers=headers).status_code in (401, 403)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Basic abc",
        "Bearer a.b",
        "Bearer " + "x" * 100_000,
        "Bearer " + token({"role": "anon"}, algorithm="none"),
        "Bearer " + token({"role": "anon"}, algorithm="nOnE"),
        "Bearer " + token({"role": "anon"}, algorithm="HS384"),
        "Bearer " + token({"role": "anon"}, algorithm="RS256"),
        "Bearer " + token({"role": "anon"}, secret="another"),
        "Bearer " + token({"role": "anon"}, header={"crit": ["x"]}),
        "Bearer " + token({"role": "anon"}, secret="", header={"kid": "../../dev/null"}),
        "Bearer " + token({"role": "anon"}, secret="x", header={"jku": "http://127.0.0.1:1/"}),
        "Bearer " + token({"role": "anon", "exp": 1}),
        "Bearer " + token({"role": "anon", "exp": "4102444800"}),
        "Bearer " + token({"role": "anon", "iat": FAR}),
        "Bearer " + token({"role": "anon", "nbf": FAR}),
        "Bearer " + token({"role": "anon", "aud": 7}),
        "Bearer " + token(["role"]),
        "Bearer " + token({"role": "anon"})[:-2] + "AA",
    ],
)
def test_a_bad_token_is_unauthorized(project, header):
    response = project.get("/books", role=None, headers={"Authorization": header})
    assert (response.status_code, "WWW-Authenticate" in response.headers) == (401, True), response.text
    assert SECRET not in response.text


def test_row_security_sees_the_claims(project):
    headers = {"Authorization": f"Bearer {project.key('authenticated', sub='ada')}"}
    assert project.get("/diaries?select=id", role=None, headers=headers).json == [{"id": 1}]
    assert len(project.get("/diaries", role="service_role").json) == 2


def test_a_row_of_somebody_else_cannot_be_written(project):
    headers = {"Authorization": f"Bearer {project.key('authenticated', sub='ada')}"}
    response = project.call("POST", "/diaries", role=None, headers=headers, body={"id": 3, "owner": "bob"})
    assert (response.status_code, response.json["code"]) == (403, "42501")


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("authenticated", 403)])
def test_a_refused_table_is_forbidden_or_unauthorized(project, role, status):
    assert project.get("/locked", role=role).status_code == status


def test_the_role_of_one_request_is_gone_in_the_next(project):
    project.get("/rpc/whoami", role="service_role")
    assert project.get("/rpc/whoami", role=None).json == f"{project.id}_anon"


def test_the_gateway_needs_a_valid_key(project):
    path = f"/project/{project.id}/rest/v1/books?select=id&id=eq.1"
    assert project.client.get(path).status_code == 401
    assert project.client.get(path, headers={"apikey": token({"role": "anon"}, secret="other")}).status_code == 401
    assert "message" in project.client.get(path).json
    key = project.key("anon")
    assert project.client.get(path, headers={"apiKey": key}).json == [{"id": 1}]
    assert project.client.get(f"{path}&apikey={key}").json == [{"id": 1}]


def test_authorization_decides_who_a_gateway_request_is(project):
    headers = {"apikey": project.key("anon"), "Authorization": f"Bearer {project.key('service_role')}"}
    response = project.client.get(f"/project/{project.id}/rest/v1/rpc/whoami", headers=headers)
    assert response.json == f"{project.id}_service"
    del headers["Authorization"]
    response = project.client.get(f"/project/{project.id}/rest/v1/rpc/whoami", headers=headers)
    assert response.json == f"{project.id}_anon"


def test_the_projects_address_greets_without_a_key(project):
    response = project.client.get(f"/project/{project.id}/")
    assert (response.status_code, response.json["hint"]) == (200, "Try GET /table_name")


@pytest.mark.parametrize(
    ("project_id", "status"),
    [("proj_" + "f" * 16, 404), ("proj_" + "a" * 16, 503), ("PROJ_ABC", 404), ("..", 404), ("proj_１２３４", 404)],
)
def test_a_project_that_is_not_there_is_not_found_and_a_paused_one_away(project, project_id, status):
    response = project.client.get(f"/db/{project_id}/books")
    assert response.status_code == status
    if status == 503:
        assert "Retry-After" in response.headers


def test_browsers_get_their_headers_on_errors_too(project):
    response = project.get("/nothing", headers={"Origin": "https://app.example"})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (404, "*")


def test_a_preflight_needs_no_key(project):
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
    response = project.client.options(f"/project/{project.id}/rest/v1/books", headers=headers)
    assert response.status_code == 200
    assert "apikey" in response.headers["Access-Control-Allow-Headers"]


def test_a_token_for_our_own_login_is_refused_wherever_it_is_served(project):
    path = project.folder / "data-api.conf"
    before = path.read_text()
    path.write_text(before.replace(f'db-anon-role = "{project.id}_anon"', "db-pool = 2"))
    headers = {"Authorization": f"Bearer {token({'db_role': f'{project.id}_authenticator'})}"}
    assert project.get("/rpc/whoami", role=None, headers=headers).status_code == 403
    assert project.get("/rpc/whoami", role=None).status_code == 401
    path.write_text(before)
