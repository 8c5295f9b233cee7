"""Keys of a project as its Auth knows them: opaque API keys, and keys that sign tokens and are published."""

from __future__ import annotations

import hmac
import json
import time

import jwt
import pytest

from infra.secrets import opaque_keys, signing_keys, tokens
from tests.app.auth.authenticator import b64
from tests.app.auth.case_runner import COMMON
from tests.app.auth.test_mfa import Person

PUBLIC, SECRET = "sb_publishable_" + "p" * 32, "sb_secret_" + "s" * 32
GOOD = (f"anon:{opaque_keys.digest(PUBLIC)}", f"service_role:{opaque_keys.digest(SECRET)}")


def ask(auth, path, **headers):
    return auth.client.get(
        f"/project/{auth.id}/auth/v1{path}", headers={name: value for name, value in headers.items() if value}
    )


@pytest.fixture
def keyed(auth):
    auth.configure(spec={"api_keys": GOOD})
    yield auth
    auth.configure(spec={"api_keys": (), "jwt_secret": auth.secret, "signing_key": auth.secret})


def test_an_opaque_key_admits_and_a_secret_one_is_the_service_role(keyed):
    assert ask(keyed, "/settings", apikey=PUBLIC).status_code == 200
    assert ask(keyed, "/admin/users", apikey=SECRET, Authorization=f"Bearer {SECRET}").status_code == 200
    assert ask(keyed, "/admin/users", apikey=SECRET).status_code == 200
    refused = ask(keyed, "/admin/users", apikey=PUBLIC, Authorization=f"Bearer {SECRET}")
    assert (refused.status_code, refused.json["error_code"]) == (403, "not_admin"), "the key decides"
    assert ask(keyed, "/user", apikey=PUBLIC, Authorization=f"Bearer {PUBLIC}").json["error_code"] == "bad_jwt"


def test_a_users_token_counts_beside_an_opaque_key(keyed, email):
    keyed.configure(**COMMON)
    person = Person(keyed, email)
    mine = ask(keyed, "/user", apikey=PUBLIC, Authorization=f"Bearer {person.session['access_token']}")
    assert mine.json["email"] == email


def test_a_revoked_or_foreign_key_is_refused_with_the_next_request(keyed):
    assert ask(keyed, "/settings", apikey=SECRET).status_code == 200
    keyed.configure(spec={"api_keys": GOOD[:1]})
    assert ask(keyed, "/settings", apikey=SECRET).json["error_code"] == "invalid_api_key"
    assert ask(keyed, "/settings", apikey=f"{PUBLIC}x").json["error_code"] == "invalid_api_key"
    assert ask(keyed, "/settings", apikey="sb_").json["error_code"] == "invalid_api_key"
    assert ask(keyed, "/settings", apikey=PUBLIC).status_code == 200


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_anybody_verifies_a_users_token_by_the_published_keys(keyed, email, algorithm):
    key = signing_keys.make_signing_key(algorithm)
    keyed.configure(**COMMON)
    person = Person(keyed, email)
    keyed.configure(
        spec={"jwt_secret": tokens.key_set([(keyed.secret, None), (key, None)]), "signing_key": key}, **COMMON
    )
    before = person.session["access_token"]
    person.session = person.sign_in()
    token = person.session["access_token"]
    published = ask(keyed, "/.well-known/jwks.json").json["keys"]
    assert [(each["kid"], each["alg"], each.get("d")) for each in published] == [
        (json.loads(key)["kid"], algorithm, None)
    ]
    assert jwt.get_unverified_header(token)["kid"] == published[0]["kid"]
    claims = jwt.decode(token, jwt.PyJWK(published[0]), algorithms=[algorithm], audience="authenticated")
    assert claims["iss"] == ask(keyed, "/.well-known/openid-configuration").json["issuer"]
    for each in (before, token):
        assert keyed.call("GET", "/user", bearer=each).status_code == 200, "of either key"


def test_a_key_that_has_ended_verifies_nothing_and_is_published_no_more(keyed, email):
    key = signing_keys.make_signing_key("ES256")
    keyed.configure(**COMMON)
    person = Person(keyed, email)
    ends = time.time() + 3600
    both = tokens.key_set([(keyed.secret, None), (key, ends)])
    keyed.configure(spec={"jwt_secret": both, "signing_key": key}, **COMMON | {"access_token_seconds": 7200})
    token = person.sign_in()["access_token"]
    assert keyed.call("GET", "/user", bearer=token).status_code == 200
    keyed.now = lambda: ends + 1
    assert ask(keyed, "/.well-known/jwks.json").json == {"keys": []}
    refused = ask(keyed, "/user", apikey=PUBLIC, Authorization=f"Bearer {token}")
    assert (refused.status_code, refused.json["error_code"]) == (403, "bad_jwt")


def test_a_public_key_signs_nothing(keyed, email):
    """The text of a public key as the secret of HS256, which some libraries have taken."""
    key = signing_keys.make_signing_key("RS256")
    keyed.configure(spec={"jwt_secret": tokens.key_set([(keyed.secret, None), (key, None)]), "signing_key": key})
    published = ask(keyed, "/.well-known/jwks.json").json["keys"][0]
    claims = {"role": "service_role", "exp": int(time.time()) + 60}
    for forged in (json.dumps(published), published["n"]):
        header = {"alg": "HS256", "typ": "JWT", "kid": published["kid"]}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        token = f"{signed}.{b64(hmac.digest(forged.encode(), signed.encode(), 'sha256'))}"
        assert ask(keyed, "/admin/users", apikey=PUBLIC, Authorization=f"Bearer {token}").status_code == 403
