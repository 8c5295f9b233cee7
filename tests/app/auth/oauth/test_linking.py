"""Which user an account elsewhere belongs to, and how users add accounts to theirs and take them away."""

from __future__ import annotations

import secrets
import uuid
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.app.auth.conftest import PASSWORD
from tests.app.auth.oauth.conftest import APP, SECRET, place, with_provider

pytestmark = pytest.mark.node


def login(email=None, verified="verified"):
    name = secrets.token_hex(5)
    email = email if email is not None else f"{name}@example.com"
    return f"{name}|{email}|{verified}"


def configure(browser, provider=None, **more):
    provider = provider or {}
    browser.auth.configure(
        **{**with_provider(browser.issuer, **provider), **more}, spec={"secrets": {"oauth_secret_keycloak": SECRET}}
    )


def make_user(auth, email, **more):
    return auth.admin(
        "POST", "/admin/users", {"email": email, "password": PASSWORD, "email_confirm": True, **more}
    ).json


def sign_in(auth, email):
    return auth.call("POST", "/token?grant_type=password", {"email": email, "password": PASSWORD})


def user_of(auth, fragment):
    answer = auth.call("GET", "/user", bearer=fragment["access_token"])
    assert answer.status_code == 200, answer.text
    return answer.json


def test_who_has_the_verified_address_of_the_account_gets_it_besides(browser, auth, email):
    made = make_user(auth, email)
    user = user_of(auth, browser.sign_in(login(email))[2])
    assert user["id"] == made["id"]
    assert [each["provider"] for each in user["identities"]] == ["email", "keycloak"]
    assert user["app_metadata"]["providers"] == ["email", "keycloak"]
    assert user["app_metadata"]["provider"] == "email"
    assert sign_in(auth, email).status_code == 200, "their password stays theirs"


def test_an_address_that_nobody_vouches_for_joins_nobody(browser, auth, email):
    made = make_user(auth, email)
    user = user_of(auth, browser.sign_in(login(email, verified="no"))[2])
    assert user["id"] != made["id"], "An account is joined by an address only that its provider vouches for"
    assert user["email"] == ""


def test_who_registered_a_foreign_address_before_has_nothing_of_it_once_its_owner_comes(browser, auth, email):
    configure(browser, autoconfirm=False)
    made = auth.call("POST", "/signup", {"email": email, "password": PASSWORD, "data": {"mine": True}}).json
    user = user_of(auth, browser.sign_in(login(email))[2])
    assert user["id"] == made["id"]
    assert [each["provider"] for each in user["identities"]] == ["keycloak"]
    assert "mine" not in user["user_metadata"]
    assert user["email_confirmed_at"]
    assert sign_in(auth, email).json["code"] == "invalid_credentials"


def test_who_cannot_show_that_the_address_is_theirs_has_to_confirm_it(browser, auth, email):
    configure(browser, autoconfirm=False)
    where, query, fragment = browser.sign_in(login(email, verified="no"))
    assert where == APP
    assert query["error_code"] == fragment["error_code"] == "provider_email_needs_verification"
    assert "access_token" not in fragment
    letter = auth.letters.last(email)
    followed = auth.client.get(letter.url.removeprefix("http://api.test"))
    assert followed.headers["Location"].startswith(f"{APP}#access_token=")


def test_who_has_confirmed_the_address_comes_in_with_the_account(browser, auth, email):
    configure(browser, autoconfirm=False)
    who = login(email, verified="no")
    browser.sign_in(who)
    auth.client.get(auth.letters.last(email).url.removeprefix("http://api.test"))
    user = user_of(auth, browser.sign_in(who)[2])
    assert user["email"] == email


def test_nobody_new_comes_in_where_sign_up_is_closed(browser, auth, email):
    known = login()
    browser.sign_in(known)
    configure(browser, sign_up=False)
    assert "access_token" in browser.sign_in(known)[2]
    assert browser.sign_in(login())[1]["error_code"] == "signup_disabled"
    make_user(auth, email)
    assert "access_token" in browser.sign_in(login(email))[2]


def test_a_banned_user_does_not_come_in_by_another_door(browser, auth, email):
    make_user(auth, email, ban_duration="24h")
    assert browser.sign_in(login(email))[1]["error_code"] == "user_banned"


def test_an_account_without_an_address_comes_in_where_that_is_allowed(browser, auth):
    assert browser.sign_in(login(""))[1]["error_code"] == "unexpected_failure"
    configure(browser, {"emailOptional": True})
    user = user_of(auth, browser.sign_in(login(""))[2])
    assert user["email"] == ""


def link(browser, token, who):
    path = "/user/identities/authorize?provider=keycloak&skip_http_redirect=true&redirect_to=" + APP
    answer = browser.auth.call("GET", path, bearer=token)
    assert answer.status_code == 200, answer.text
    return place(browser.come_back(browser.elsewhere(answer.json["url"], who)))


def test_a_user_adds_an_account_and_takes_it_away(browser, auth, email):
    configure(browser, manual_linking=True)
    made = make_user(auth, email)
    token = sign_in(auth, email).json["access_token"]
    who = login()
    user = user_of(auth, link(browser, token, who)[2])
    assert user["id"] == made["id"]
    assert user["email"] == email
    own, added = user["identities"]
    assert added["id"] == who
    assert link(browser, token, who)[1]["error_code"] == "identity_already_exists"
    gone = auth.call("DELETE", f"/user/identities/{uuid.uuid4()}", bearer=token)
    assert (gone.status_code, gone.json["code"]) == (422, "identity_not_found")
    answer = auth.call("DELETE", f"/user/identities/{added['identity_id']}", bearer=token)
    assert (answer.status_code, answer.json) == (200, {})
    user = auth.call("GET", "/user", bearer=token).json
    assert user["app_metadata"]["providers"] == ["email"]
    last = auth.call("DELETE", f"/user/identities/{own['identity_id']}", bearer=token)
    assert (last.status_code, last.json["code"]) == (422, "single_identity_not_deletable")


def test_an_account_of_somebody_else_is_not_added(browser, auth, email):
    configure(browser, manual_linking=True)
    who = login()
    browser.sign_in(who)
    make_user(auth, email)
    token = sign_in(auth, email).json["access_token"]
    assert link(browser, token, who)[1]["error_code"] == "identity_already_exists"


def test_an_anonymous_user_becomes_a_permanent_one_by_an_account(browser, auth):
    configure(browser, manual_linking=True, anonymous_sign_in=True)
    anonymous = auth.call("POST", "/signup", {"data": {}}).json
    who = login()
    user = user_of(auth, link(browser, anonymous["access_token"], who)[2])
    assert user["id"] == anonymous["user"]["id"]
    assert user["is_anonymous"] is False
    assert user["email"] == who.split("|")[1]
    assert user["email_confirmed_at"]


def test_who_takes_away_the_account_of_their_address_gets_that_of_another(browser, auth, email):
    configure(browser, manual_linking=True)
    make_user(auth, email)
    token = sign_in(auth, email).json["access_token"]
    doubtful, sure = login(verified="no"), login()
    link(browser, token, doubtful)
    user = user_of(auth, link(browser, token, sure)[2])
    (own,) = [each for each in user["identities"] if each["provider"] == "email"]
    assert auth.call("DELETE", f"/user/identities/{own['identity_id']}", bearer=token).status_code == 200
    user = auth.call("GET", "/user", bearer=token).json
    assert user["email"] == sure.split("|")[1], "one that its provider vouches for goes before"
    assert user["email_confirmed_at"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/authorize?provider=keycloak"), ("DELETE", f"/{uuid.UUID(int=7)}")]
)
def test_without_manual_linking_there_is_none(browser, auth, email, method, path):
    make_user(auth, email)
    token = sign_in(auth, email).json["access_token"]
    answer = auth.call(method, f"/user/identities{path}", bearer=token)
    assert (answer.status_code, answer.json["code"]) == (404, "manual_linking_disabled")


def test_the_settings_name_every_provider(browser, auth):
    external = auth.call("GET", "/settings").json["external"]
    assert external["keycloak"] is True
    for name in ("apple", "azure", "github", "google", "linkedin_oidc", "slack_oidc", "workos", "zoom", "phone"):
        assert external[name] is False
    configure(browser, {"enabled": False})
    assert auth.call("GET", "/settings").json["external"]["keycloak"] is False


def test_what_is_asked_for_is_kept_from_those_who_look_on(browser, auth):
    url = browser.leave(redirect_to=APP).headers["Location"]
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    kept = auth.rows("SELECT s::text FROM auth.oauth_client_states s")
    assert kept
    assert not any(state in row[0] for row in kept)
