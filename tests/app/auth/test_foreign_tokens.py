"""Keys and tokens of another project, and tokens that nobody signed: refused on every route; and everybody sees only their own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from uuid import uuid4

import pytest

from app.auth.routes import ROUTES
from infra.secrets import tokens
from tests.app.auth.case_runner import claims_of
from tests.app.auth.people import joined, refused

GUARDED = [route for route in ROUTES if route.access in ("user", "admin")]
KEYED = [route for route in ROUTES if route.access != "open"]


def named(route):
    return f"{route.method} {route.path}"


def path_of(route, user_id):
    path = route.path
    while "<" in path:
        path = path[: path.index("<")] + user_id + path[path.index(">") + 1 :]
    return path


@pytest.fixture(scope="module")
def person(world):
    """Somebody who stays."""
    return joined(world)


def signed_elsewhere(claims, secret="of another project, of at least 32 letters"):
    return tokens.sign_token({**claims, "exp": int(time.time()) + 600}, secret)


@pytest.mark.parametrize("route", KEYED, ids=named)
def test_a_key_of_another_project_admits_nobody(auth, person, route):
    for role in ("anon", "service_role"):
        key = signed_elsewhere({"iss": "launchdb", "role": role})
        headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        answer = auth.call(route.method, path_of(route, person.id), {}, headers=headers)
        assert answer.status_code == 401, "A key of another project admits nobody"
        assert refused(answer) == (401, "invalid_api_key")
    answer = auth.call(route.method, path_of(route, person.id), {}, headers={"apikey": ""})
    assert refused(answer) == (401, "no_api_key")


def forged(auth, person):
    """Tokens that say whom they name, and are not ours."""
    claims = {**claims_of(person.token), "exp": int(time.time()) + 600}
    head, body, mark = person.token.split(".")
    flipped = bytearray(base64.urlsafe_b64decode(mark + "=="))
    flipped[0] ^= 1
    yield "another project's", signed_elsewhere(claims)
    yield "one bit flipped", f"{head}.{body}." + base64.urlsafe_b64encode(flipped).rstrip(b"=").decode()
    yield "no signature", f"{head}.{body}."
    for alg in ("none", "NONE", "HS384", "RS256"):
        written = ".".join(part(each) for each in ({"alg": alg, "typ": "JWT"}, claims))
        digest = hmac.new(auth.secret.encode(), written.encode(), hashlib.sha384 if alg == "HS384" else hashlib.sha256)
        yield (
            alg,
            f"{written}.{'' if alg.lower() == 'none' else base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}",
        )
    yield "expired", tokens.sign_token({**claims, "exp": int(time.time()) - 1}, auth.secret)
    yield (
        "without an end",
        tokens.sign_token({name: value for name, value in claims.items() if name != "exp"}, auth.secret),
    )
    yield "an end in words", tokens.sign_token({**claims, "exp": "never"}, auth.secret)
    yield "not yet good", tokens.sign_token({**claims, "nbf": int(time.time()) + 60}, auth.secret)
    yield "made in days to come", tokens.sign_token({**claims, "iat": int(time.time()) + 60}, auth.secret)
    yield "for an audience of no kind", tokens.sign_token({**claims, "aud": 7}, auth.secret)
    yield "nested too deep", by_hand(auth.secret, b'{"exp":' + str(claims["exp"]).encode() + b',"x":' + b"[" * 6000)
    yield "too long", tokens.sign_token({**claims, "x": "y" * 20_000}, auth.secret)
    yield "not three parts", "a.b"


def by_hand(secret, claims):
    """A token whose claims are any bytes."""
    written = part({"alg": "HS256"}) + "." + base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
    digest = hmac.new(secret.encode(), written.encode(), hashlib.sha256).digest()
    return f"{written}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def part(members):
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_a_token_that_is_not_the_projects_is_refused(auth, person, route):
    for what, token in forged(auth, person):
        answer = auth.call(route.method, path_of(route, person.id), {}, bearer=token)
        assert refused(answer) == (403, "bad_jwt"), what
    answer = auth.call(route.method, path_of(route, person.id), {}, headers={"Authorization": "Basic abc"})
    assert refused(answer) == (401, "no_authorization")
    assert person.get().status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"role": "postgres"},
        {"role": "SERVICE_ROLE"},
        {"role": ["service_role"]},
        {"role": None},
        {"db_role": "service_role"},
    ],
)
def test_only_the_role_of_the_service_key_is_the_service_role(auth, claims):
    token = auth.key(**{"role": "authenticated", **claims})
    assert refused(auth.call("GET", "/admin/users", bearer=token)) == (403, "not_admin")


@pytest.mark.parametrize(
    ("claims", "refusal"),
    [
        ({"sub": "x"}, (400, "bad_jwt")),
        ({"sub": "\0"}, (400, "bad_jwt")),
        ({"sub": 1}, (400, "bad_jwt")),
        ({"sub": ["a"]}, (400, "bad_jwt")),
        ({"sub": str(uuid4())}, (403, "user_not_found")),
        ({"session_id": "x"}, (403, "bad_jwt")),
        ({"session_id": 1}, (403, "bad_jwt")),
        ({"session_id": str(uuid4())}, (403, "session_not_found")),
    ],
)
def test_a_token_of_ours_with_strange_claims_names_nobody(auth, person, claims, refusal):
    token = tokens.sign_token({**claims_of(person.token), **claims}, auth.secret)
    assert refused(auth.call("GET", "/user", bearer=token)) == refusal


def test_everybody_sees_and_changes_themselves_alone(auth, person):
    other = joined(auth)
    assert other.get().json["id"] == other.id
    other.put({"data": {"id": person.id, "user_id": person.id}, "id": person.id})
    assert "user_id" not in person.get().json["user_metadata"]
    other.log_out("global")
    assert person.get().status_code == 200
    # The session of one with the name of the other.
    stolen = {**claims_of(other.token), "sub": person.id}
    assert refused(auth.call("GET", "/user", bearer=tokens.sign_token(stolen, auth.secret))) == (
        403,
        "session_not_found",
    )


def test_a_clock_that_is_a_little_ahead_of_ours_signs_people_in(auth, person):
    soon = int(time.time()) + 5
    token = tokens.sign_token({**claims_of(person.token), "iat": soon, "nbf": soon, "exp": soon + 60}, auth.secret)
    assert auth.call("GET", "/user", bearer=token).status_code == 200
