"""Signing in with an account at an OpenID provider, the certified one of npm."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.app.auth.oauth.conftest import APP, SECRET, place, with_provider

pytestmark = pytest.mark.node


def login(verified="verified"):
    name = secrets.token_hex(5)
    return f"{name}|{name}@example.com|{verified}", f"{name}@example.com"


def test_somebody_who_was_at_the_provider_is_signed_in(browser, auth):
    who, email = login()
    where, query, fragment = browser.sign_in(who)
    assert (where, query) == (APP, {})
    assert set(fragment) == {
        "access_token", "expires_at", "expires_in", "provider_token", "provider_refresh_token", "refresh_token", "sb",
        "token_type",
    }  # fmt: skip
    user = auth.call("GET", "/user", bearer=fragment["access_token"])
    assert user.status_code == 200
    assert user.json["email"] == email
    assert user.json["email_confirmed_at"]
    assert user.json["app_metadata"] == {"provider": "keycloak", "providers": ["keycloak"]}
    (identity,) = user.json["identities"]
    assert (identity["provider"], identity["id"]) == ("keycloak", who)
    assert identity["identity_data"]["email_verified"] is True
    assert user.json["user_metadata"]["full_name"].endswith(browser.issuer)


def test_the_same_account_is_the_same_user_and_brings_what_is_new(browser, auth):
    who, _ = login()
    first, second = browser.sign_in(who)[2], browser.sign_in(who)[2]
    users = [auth.call("GET", "/user", bearer=each["access_token"]).json for each in (first, second)]
    assert users[0]["id"] == users[1]["id"]
    assert len(users[1]["identities"]) == 1


def test_the_provider_is_asked_with_state_nonce_and_pkce(browser):
    url = browser.leave(redirect_to=APP, scopes="calendar", prompt="consent", nonce="mine", state="mine").headers[
        "Location"
    ]
    sent = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(browser.issuer)
    assert sent["response_type"] == "code"
    assert sent["code_challenge_method"] == "S256"
    assert sent["scope"] == "openid email profile calendar"
    assert sent["prompt"] == "consent", "what the app wants to tell the provider is handed on"
    assert min(len(sent["state"]), len(sent["nonce"]), len(sent["code_challenge"])) >= 32
    assert "mine" not in (sent["state"], sent["nonce"]), "but for what is ours to say"
    assert sent["redirect_uri"] == browser.callback


def test_who_says_no_at_the_provider_comes_back_with_an_error(browser):
    where, query, fragment = browser.sign_in(login()[0], abort=True)
    assert where == APP
    assert query["error"] == fragment["error"] == "access_denied"
    assert query["error_description"] == "End-User aborted interaction"


def test_what_comes_in_the_place_of_a_providers_error_is_told_and_no_word_of_ours(browser, auth):
    """Anybody can begin a sign-in, and come back with an error of their own making."""
    nowhere = {**with_provider(browser.issuer), "site_url": "", "redirect_urls": []}
    auth.configure(**nowhere, spec={"secrets": {"oauth_secret_keycloak": SECRET}})
    for said in ("made up\r\nX-Evil: 1", "\0", "x" * 5000, "é"):
        state = dict(parse_qsl(urlsplit(browser.leave().headers["Location"]).query))["state"]
        query = {"state": state, "error": said, "error_description": said}
        answer = auth.client.get(f"/project/{auth.id}/auth/v1/callback", query_string=query)
        assert (answer.status_code, answer.json["error_code"]) == (403, "bad_oauth_callback")
        assert answer.headers["X-Sb-Error-Code"] == "bad_oauth_callback"
        assert answer.json["oauth"] == said[:100]


def test_a_state_is_good_once(browser):
    url = browser.leave(redirect_to=APP).headers["Location"]
    back = browser.elsewhere(url, login()[0])
    assert "access_token" in place(browser.come_back(back))[2]
    where, query, fragment = place(browser.come_back(back))
    assert where == "https://site.example.com"
    assert query["error_code"] == fragment["error_code"] == "bad_oauth_state"


@pytest.mark.parametrize(("state", "code"), [("", "bad_oauth_callback"), ("made up", "bad_oauth_state")])
def test_who_brings_no_state_of_ours_is_turned_away(browser, state, code):
    browser.leave(redirect_to=APP)  # somebody else is on their way
    answer = browser.auth.client.get(f"/project/{browser.auth.id}/auth/v1/callback?code=x&state={state}")
    where, query, fragment = place(answer.headers["Location"])
    assert query["error_code"] == fragment["error_code"] == code, (
        "A sign-in at a provider is ended by the state that it was begun with"
    )
    assert where == "https://site.example.com"


def test_a_state_that_lay_too_long_is_turned_away(browser, auth):
    url = browser.leave(redirect_to=APP).headers["Location"]
    back = browser.elsewhere(url, login()[0])
    later = auth.now() + 601
    auth.now = lambda: later
    assert place(browser.come_back(back))[1].get("error_code") == "bad_oauth_state", (
        "A state of OAuth ends after ten minutes"
    )


def test_a_code_of_somebody_else_is_of_no_use(browser):
    """What a thief puts in the place of the code was made for another verifier and nonce."""
    theirs = browser.elsewhere(browser.leave(redirect_to=APP).headers["Location"], login()[0])
    ours = browser.elsewhere(browser.leave(redirect_to=APP).headers["Location"], login()[0])
    code = dict(parse_qsl(urlsplit(theirs.url).query))["code"]
    kept = dict(parse_qsl(urlsplit(ours.url).query)) | {"code": code}
    answer = browser.auth.client.get(f"/project/{browser.auth.id}/auth/v1/callback", query_string=kept)
    assert place(answer.headers["Location"])[1]["error_code"] == "bad_oauth_callback"


def test_people_are_not_sent_where_the_project_has_not_listed(browser):
    url = browser.leave(redirect_to="https://evil.example/").headers["Location"]
    where, _, fragment = place(browser.come_back(browser.elsewhere(url, login()[0])))
    assert where == "https://site.example.com"
    assert "access_token" in fragment


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"provider": ""}, "Unsupported provider: Provider  could not be found"),
        ({"provider": "nonsense"}, "Unsupported provider: Provider nonsense could not be found"),
        ({"provider": "google"}, "Unsupported provider: provider is not enabled"),
        ({"provider": "keycloak", "code_challenge": "x" * 43}, "PKCE flow requires"),
    ],
)
def test_what_cannot_be_begun_is_said_at_once(browser, query, message):
    answer = browser.leave(**query, expect=400)
    assert answer.json["error_code"] == "validation_failed"
    assert message in answer.json["msg"]


def pkce(browser, **query):
    verifier = secrets.token_urlsafe(40)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return verifier, browser.sign_in(login()[0], code_challenge=challenge, code_challenge_method="s256", **query)


def test_whoever_began_with_a_challenge_gets_the_session_for_their_verifier_once(browser, auth):
    verifier, (where, query, fragment) = pkce(browser)
    assert (where, set(query), fragment) == (APP, {"code"}, {})
    trade = {"auth_code": query["code"], "code_verifier": secrets.token_urlsafe(40)}
    assert auth.call("POST", "/token?grant_type=pkce", trade).json["code"] == "bad_code_verifier"
    answer = auth.call("POST", "/token?grant_type=pkce", {**trade, "code_verifier": verifier})
    assert answer.status_code == 200, answer.text
    assert answer.json["provider_token"]
    assert answer.json["provider_refresh_token"]
    assert answer.json["user"]["app_metadata"]["provider"] == "keycloak"
    again = auth.call("POST", "/token?grant_type=pkce", {**trade, "code_verifier": verifier})
    assert again.json["code"] == "flow_state_not_found"


def test_a_flow_with_a_challenge_says_in_both_places_what_went_wrong(browser):
    _, (where, query, fragment) = pkce(browser, abort=True)
    assert where == APP
    assert query["error"] == fragment["error"] == "access_denied"
