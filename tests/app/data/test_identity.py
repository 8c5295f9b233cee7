"""Who a request is: tokens, roles, API keys, and what each may see."""

from __future__ import annotations

import base64
import dataclasses
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from app.data import config
from app.data.errors import PgrstError
from app.data.run import bearer
from infra.secrets import tokens
from tests.app.data.conftest import SECRET, token

FAR = int(time.time()) + 86400


def test_without_a_token_the_request_is_anonymous(project):
    who = project.get("/rpc/whoami", role=None).json
    assert who == f"{project.id}_anon", "A request runs as the role of its token and as no other"


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
    for _ in range(8):  # whichever session it gets
        project.get("/rpc/whoami", role="service_role")
        who = project.get("/rpc/whoami", role=None).json
        assert who == f"{project.id}_anon", "What a request was is gone in the next"


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
    status = project.get("/rpc/whoami", role=None, headers=headers).status_code
    assert status == 403, "A token for the login of the data API itself is refused"
    assert project.get("/rpc/whoami", role=None).status_code == 401
    path.write_text(before)


@pytest.mark.parametrize(
    "role", ["proj_0123456789abcdef_service", "postgres", "anon", "service_role", "pg_read_all_data"]
)
def test_a_role_of_another_project_is_refused_before_postgres_is_asked(role):
    """SET ROLE would refuse it as well, and hides that nothing else does."""
    own = config.from_values({"db-anon-role": "proj_aaaaaaaaaaaaaaaa_anon", "jwt-secret": SECRET})
    with pytest.raises(PgrstError) as refused:
        bearer.identify(f"Bearer {token({'role': role})}", dataclasses.replace(own, jwt_role_claim_key=".role"))
        pytest.fail(f"A token that names a role of another project is refused before Postgres is asked: {role}")
    assert refused.value.status == 403


def key_pair(algorithm):
    """A private key, and its public half as a JWK."""
    kinds = {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    private = kinds.get(algorithm, lambda: rsa.generate_private_key(65537, 2048))()
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    return private, {name: value for name, value in public.items() if name != "key_ops"}


def _jwks(*keys):
    return json.dumps({"keys": list(keys)})


def _octets(secret, **more):
    return {"kty": "oct", "k": base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="), **more}


def _who(header, **more):
    read = config.from_values({"db-anon-role": "web_anon", "jwt-role-claim-key": ".db_role", **more})
    return bearer.identify(f"Bearer {header}", read).role


def test_a_list_of_keys_takes_the_tokens_of_each_while_keys_are_rotated():
    new, old = "n" * 32, "o" * 32
    keys = {"jwt-secret": _jwks(_octets(new, kid="new"), _octets(old, kid="old"))}
    claims = {"db_role": "web_authenticated"}
    for secret in (new, old):
        assert _who(token(claims, secret=secret), **keys) == "web_authenticated"
    assert _who(token(claims, secret=old, header={"kid": "old"}), **keys) == "web_authenticated"
    for secret, kid in ((old, "new"), ("x" * 32, "old"), ("x" * 32, "../../dev/null")):
        with pytest.raises(PgrstError) as refused:
            _who(token(claims, secret=secret, header={"kid": kid}), **keys)
        assert (refused.value.code, refused.value.status) == ("PGRST301", 401)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_public_key_of_a_list_is_good_for_its_own_algorithm_only(algorithm):
    private, public = key_pair(algorithm)
    keys = {"jwt-secret": _jwks({**public, "alg": algorithm})}
    claims = {"db_role": "web_authenticated"}
    assert _who(jwt.encode(claims, private, algorithm=algorithm), **keys) == "web_authenticated"
    confused = [public.get(name, "") for name in ("n", "x")]
    for secret in (*confused, json.dumps(public)):
        with pytest.raises(PgrstError):
            _who(token(claims, secret=secret), **keys)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2hvcnQ"},
        _octets("x" * 32, alg="RS256"),
        _octets("x" * 32, use="enc"),
        _octets("x" * 32, alg="none"),
        {"kty": "RSA", "n": "AQ", "e": "AQ"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": ["oct"]},
        {},
        7,
    ],
)
def test_a_key_that_is_none_lets_nobody_in(key):
    for secret in ("x" * 32, "short", ""):
        with pytest.raises(PgrstError) as refused:
            _who(token({"db_role": "web_authenticated"}, secret=secret), **{"jwt-secret": _jwks(key)})
        assert refused.value.code in ("PGRST300", "PGRST301")


@pytest.mark.parametrize("claims", [{"exp": -10}, {"nbf": 10}, {"iat": 10}, {"exp": -10, "nbf": 10, "iat": 10}])
def test_a_token_of_a_clock_that_is_a_little_off_is_good(project, claims):
    moved = {name: int(time.time()) + offset for name, offset in claims.items()}
    sent = token({"role": "anon", **moved})
    assert project.get("/books", role=None, headers={"Authorization": f"Bearer {sent}"}).status_code == 200
    assert project.client.get(f"/project/{project.id}/rest/v1/books", headers={"apikey": sent}).status_code == 200
    assert _who(sent, **{"jwt-secret": SECRET, "jwt-role-claim-key": ".db_role"}) == "web_anon"


@pytest.mark.parametrize("claims", [{"exp": -40}, {"nbf": 40}, {"iat": 40}])
def test_half_a_minute_is_all_that_is_forgiven(project, claims):
    moved = {name: int(time.time()) + offset for name, offset in claims.items()}
    sent = token({"role": "anon", **moved})
    assert project.get("/books", role=None, headers={"Authorization": f"Bearer {sent}"}).status_code == 401
    with pytest.raises(PgrstError):
        _who(sent, **{"jwt-secret": SECRET})


def test_a_token_that_was_good_is_refused_from_its_end_on():
    ending, now = token({"db_role": "web_authenticated", "exp": 1000}), [999.0]
    read = config.from_values({"db-anon-role": "web_anon", "jwt-secret": SECRET, "jwt-role-claim-key": ".db_role"})
    read = dataclasses.replace(read, jwt_leeway=0)
    assert bearer.identify(f"Bearer {ending}", read, lambda: now[0]).role == "web_authenticated"
    now[0] = 1000.5
    with pytest.raises(PgrstError, match="JWT expired"):
        bearer.identify(f"Bearer {ending}", read, lambda: now[0])
        pytest.fail("A token is good until its time and no longer")


def test_of_two_secrets_either_signs_until_one_ends():
    now = time.time()
    old, new = "old-" * 10, "new-" * 10
    both = config.DataConfig(db_anon_role="anon", jwt_secret=tokens.key_set([(new, None), (old, now + 60)]))
    for secret in (old, new):
        text = jwt.encode({"role": "anon"}, secret)
        assert bearer.identify(f"Bearer {text}", both).role == "anon"
    later = lambda: now + 61  # noqa: E731 - a clock
    assert bearer.identify(f"Bearer {jwt.encode({'role': 'anon'}, new)}", both, later).role == "anon"
    with pytest.raises(PgrstError) as refused:  # though it was verified, and remembered, a moment ago
        bearer.identify(f"Bearer {jwt.encode({'role': 'anon'}, old)}", both, later)
        pytest.fail("A rotated key is good until its grace time is over and no longer")
    assert refused.value.code == "PGRST301"
    assert tokens.key_set([(new, None)]) == new


@pytest.mark.parametrize(
    ("claims", "status"),
    [({"role": "anon"}, 401), ({}, 401), ({"role": "authenticated"}, 403), (None, 401)],
)
def test_what_the_anonymous_role_may_not_do_asks_to_sign_in(project, claims, status):
    headers = {} if claims is None else {"Authorization": f"Bearer {token(claims)}"}
    response = project.get("/locked", role=None, headers=headers)
    assert (response.status_code, response.json["code"]) == (status, "42501")
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


def test_roles_of_a_database_of_anybodys_are_its_own_whatever_they_are_called():
    for role in ("web_user", "anon", "service_role", "postgres"):
        read = config.from_values({"db-anon-role": "web_anon", "jwt-secret": SECRET})
        found = bearer.identify(f"Bearer {token({'role': role})}", read)
        assert (found.role, found.authenticated, json.loads(found.claims)["role"]) == (role, True, role)
    read = config.from_values({"db-anon-role": "web_anon", "jwt-secret": SECRET})
    assert bearer.identify(None, read).role == "web_anon"
    assert json.loads(bearer.identify(None, read).claims) == {"role": "web_anon"}
