"""Auth as apps use it: by the official clients, unmodified, against a project that was just made."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from joserfc.jwk import KeySet, RSAKey
from supabase import AuthApiError, ClientOptions, create_client

from tests.app.server import free_port
from tests.fixtures import browser, oidc
from tests.fixtures.npm import installed
from tests.fixtures.servers import wait_until

HERE = Path(__file__).parent
PASSWORD = "a horse that nobody staples"
SITE = "https://shop.example.org/"
TABLE = """
CREATE TABLE diary (id int PRIMARY KEY, owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE diary ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON diary TO authenticated USING (owner = auth.uid()) WITH CHECK (owner = auth.uid());
GRANT ALL ON diary TO authenticated, service_role;
"""


class Shop:
    """A project with a table of its users', and the letters to them."""

    def __init__(self, project) -> None:
        self.project, self.url, self.anon, self.service = project, project.url, project.anon, project.service
        project.table("diary", TABLE)

    def client(self, key=None, flow="implicit"):
        options = ClientOptions(flow_type=flow, auto_refresh_token=False, httpx_client=self.project.client())
        return create_client(self.url, key or self.anon, options)

    def letter(self, to, subject=""):
        """The newest letter to somebody, once the worker has sent it."""

        def found():
            letters = self.project.place.letters()
            return [each for each in letters if each.to == to and subject.lower() in each.subject.lower()]

        wait_until(found, seconds=30)
        return found()[0]

    def follow(self, letter):
        """Follow the link of a letter as a browser does; return what comes back to the site."""
        link = re.search(r"https?://\S+/auth/v1/verify\?[^\s)\"']+", letter.text)
        assert link, letter.text
        assert link[0].startswith(f"{self.url}/"), "it leads to the address that people know"
        sent = self.project.http.get(link[0], follow_redirects=False)
        assert sent.status_code == 303, sent.text
        return urlsplit(sent.headers["Location"])


@pytest.fixture(scope="module")
def shop(place):
    """Users confirm their address."""
    with place.project("auth", siteUrl=SITE, autoconfirm=False, **place.mail) as project:
        yield Shop(project)


@pytest.fixture(scope="module")
def open_shop(place):
    """Addresses count as confirmed at once, as in a project without a mail server."""
    settings = {"siteUrl": SITE, "anonymousSignIn": True, "autoconfirm": True, **place.mail}
    with place.project("open", **settings) as project:
        yield Shop(project)


def an_address():
    return f"{secrets.token_hex(6)}@example.com"


def test_somebody_signs_up_confirms_comes_back_and_sees_their_own_rows(shop):
    email, client = an_address(), shop.client()
    signed = client.auth.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": "Ann"}}})
    assert signed.session is None
    with pytest.raises(AuthApiError) as refused:
        client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert refused.value.code == "email_not_confirmed"
    back = shop.follow(shop.letter(email))
    fragment = parse_qs(back.fragment)
    assert back.geturl().startswith(SITE)
    client.auth.set_session(fragment["access_token"][0], fragment["refresh_token"][0])
    assert client.auth.get_user().user.user_metadata["name"] == "Ann"

    client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    client.table("diary").insert({"id": 1, "body": "mine"}).execute()
    assert client.table("diary").select("id").execute().data == [{"id": 1}]
    assert shop.client().table("diary").select("id").execute().data == []
    before = client.auth.get_session().refresh_token
    assert client.auth.refresh_session().session.refresh_token != before
    assert client.auth.update_user({"data": {"name": "Anna"}}).user.user_metadata["name"] == "Anna"
    client.auth.sign_out()
    with pytest.raises(AuthApiError):
        shop.client().auth.refresh_session(before)


def test_a_link_in_a_letter_signs_in_and_is_good_once(shop):
    email, client = an_address(), shop.client()
    shop.client(shop.service).auth.admin.create_user({"email": email, "email_confirm": True})
    client.auth.sign_in_with_otp({"email": email})
    letter = shop.letter(email)
    fragment = parse_qs(shop.follow(letter).fragment)
    client.auth.set_session(fragment["access_token"][0], fragment["refresh_token"][0])
    assert client.auth.get_user().user.email == email
    assert "error_code=otp_expired" in shop.follow(letter).fragment, "a link is good once"


def test_a_forgotten_password_is_replaced_by_pkce_out_of_the_mailbox(open_shop):
    email, client = an_address(), open_shop.client(flow="pkce")
    assert client.auth.sign_up({"email": email, "password": PASSWORD}).session
    client.auth.sign_out()
    client.auth.reset_password_for_email(email)
    code = parse_qs(open_shop.follow(open_shop.letter(email)).query)["code"][0]
    client.auth.exchange_code_for_session({"auth_code": code})
    client.auth.update_user({"password": "another horse"})
    assert open_shop.client().auth.sign_in_with_password({"email": email, "password": "another horse"}).session
    with pytest.raises(AuthApiError):
        open_shop.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})


def test_somebody_without_an_address_becomes_a_user_of_their_own(open_shop):
    client = open_shop.client()
    nobody = client.auth.sign_in_anonymously().user
    assert nobody.is_anonymous
    email = an_address()
    client.auth.update_user({"email": email})
    user = client.auth.get_user().user
    assert (user.id, user.email, user.is_anonymous) == (nobody.id, email, False)
    client.auth.update_user({"password": PASSWORD})
    client.auth.sign_out()
    again = open_shop.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert again.user.id == nobody.id


def test_whoever_holds_the_service_key_sees_to_users(open_shop):
    admin, email = open_shop.client(open_shop.service).auth.admin, an_address()
    made = admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True}).user
    assert made.id in {user.id for user in admin.list_users()}
    admin.update_user_by_id(made.id, {"ban_duration": "24h"})
    with pytest.raises(AuthApiError) as banned:
        open_shop.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert banned.value.code == "user_banned"
    link = admin.generate_link({"type": "magiclink", "email": email})
    assert link.properties.action_link.startswith(f"{open_shop.url}/auth/v1/verify?")
    admin.delete_user(made.id)
    with pytest.raises(AuthApiError):
        admin.get_user_by_id(made.id)


def test_a_second_factor_is_set_up_asked_for_and_taken_away(open_shop):
    email, client = an_address(), open_shop.client()
    client.auth.sign_up({"email": email, "password": PASSWORD})
    factor = client.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
    code = pyotp.TOTP(factor.totp.secret).now()
    client.auth.mfa.challenge_and_verify({"factor_id": factor.id, "code": code})
    level = client.auth.mfa.get_authenticator_assurance_level()
    assert (level.current_level, level.next_level) == ("aal2", "aal2")

    again = open_shop.client()
    again.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    level = again.auth.mfa.get_authenticator_assurance_level()
    assert (level.current_level, level.next_level) == ("aal1", "aal2")
    with pytest.raises(AuthApiError):  # no code is taken twice
        again.auth.mfa.challenge_and_verify({"factor_id": factor.id, "code": code})
    later = pyotp.TOTP(factor.totp.secret).at(time.time() + 30)  # a clock that is ahead by a little
    again.auth.mfa.challenge_and_verify({"factor_id": factor.id, "code": later})
    assert [each.id for each in again.auth.mfa.list_factors().totp] == [factor.id]
    again.auth.mfa.unenroll({"factor_id": factor.id})
    assert again.auth.mfa.list_factors().totp == []


@pytest.mark.node
def test_a_browser_signs_in_by_a_provider_by_a_passkey_and_with_a_second_factor(place, tmp_path):
    home = f"http://localhost:{(port := free_port())}/"
    passkeys = {"passkeys": True, "mfaWebauthnEnroll": True, "mfaWebauthnVerify": True}
    (tmp_path / "provider").mkdir()
    browser.provide(tmp_path)
    with place.project("browser", siteUrl=home, redirectUrls=[f"{home}**"], **passkeys) as project:
        client = {
            "client_id": "the-shop", "client_secret": "hush", "redirect_uris": [f"{project.url}/auth/v1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
        }  # fmt: skip
        keys = KeySet([RSAKey.generate_key(2048, {"use": "sig", "kid": "one", "alg": "RS256"}, auto_kid=False)])
        known = {"clients": [client], "jwks": keys.as_dict(private=True), "host": place.host}
        with oidc.running(tmp_path / "provider", **known) as issuer:
            provider = {"keycloak": {"clientId": "the-shop", "issuer": issuer}}
            secret = {"keycloak": "hush"}
            project.change("settings", {"oauthProviders": provider, "oauthSecrets": secret}, method="PATCH")
            given = {
                "url": project.url, "anon": project.anon, "port": port, "login": "ann|ann@example.org|verified",
                **browser.given(tmp_path), "options": place.browser_options, "script": str(browser.client_script()),
            }  # fmt: skip
            program = shutil.copy(HERE / "auth_browser.mjs", tmp_path)
            seen = json.loads(place.run("node", program, json.dumps(given), env=os.environ, cwd=tmp_path))
    person = seen["joined"]["id"]
    assert seen["joined"] == {"id": person, "email": "ann@example.org", "provider": "keycloak"}
    assert (seen["came_by_code"], seen["fragments"]) == (True, 0), "no token stood in an address"
    assert seen["passkey"] == {"gone": True, "id": person}
    assert seen["factor"] == {"levels": ["aal2", "aal1", "aal2"], "factors": 1}
    assert seen["stranger"] == "NotAllowedError", "another authenticator knows nobody"


@pytest.mark.node
def test_the_client_for_javascript_does_the_same(place, open_shop, tmp_path):
    program = shutil.copy(HERE / "auth_client.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(installed("@supabase/supabase-js", "2.109.0") / "node_modules")
    given = {"url": open_shop.url, "anon": open_shop.anon, "service": open_shop.service, "email": an_address()}
    assert json.loads(place.run("node", program, json.dumps(given), env=os.environ, cwd=tmp_path)) == {
        "signedUp": True, "rows": [{"id": 7}], "foreign": [], "refreshed": True, "name": "Bob", "wrong": "invalid_credentials",
        "anonymous": True, "levels": ["aal2", "aal1", "aal2"], "listed": True, "signedOut": True,
    }  # fmt: skip
