"""Auth as apps use it: by the official clients, unmodified, against a project that was just made."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from joserfc.jwk import KeySet, RSAKey
from supabase import AuthApiError, ClientOptions, create_client

from infra.mail.mailbox import Mailbox
from tests.app.server import free_port
from tests.app.test_project_acceptance import place  # noqa: F401 - a fixture
from tests.fixtures import browser, oidc
from tests.fixtures.npm import installed
from tests.fixtures.servers import wait_until

PASSWORD = "a horse that nobody staples"
SITE = "https://shop.example.org/"
TABLE = """
CREATE TABLE diary (id int PRIMARY KEY, owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE diary ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON diary TO authenticated USING (owner = auth.uid()) WITH CHECK (owner = auth.uid());
GRANT ALL ON diary TO authenticated;
"""


class Shop:
    """A project whose users confirm their address, and its letters."""

    def __init__(self, place, name, **settings) -> None:  # noqa: F811 - a fixture
        self.shop = place.project(name)
        self.shop.change("settings", {"siteUrl": SITE, "anonymousSignIn": True, **settings}, method="PATCH")
        self.shop.sql(TABLE)
        self.url = f"{place.url}/project/{self.shop.id}"
        self.anon, self.service = self.shop.anon, self.shop.service
        self.box, self.opened = Mailbox(place.settings.mailbox_folder), []

    def close(self):
        for each in self.opened:
            each.close()

    def client(self, key=None, flow="implicit"):
        self.opened.append(httpx.Client(timeout=90))  # the machine may be busy
        options = ClientOptions(flow_type=flow, auto_refresh_token=False, httpx_client=self.opened[-1])
        return create_client(self.url, key or self.anon, options)

    def letter(self, to, subject=""):
        """The newest letter to somebody, once the worker has sent it."""

        def found():
            return [each for each in self.box.messages() if each.to == to and subject.lower() in each.subject.lower()]

        wait_until(found, seconds=30)
        return found()[0]

    def follow(self, letter):
        """Follow the link of a letter as a browser does; return what comes back to the site."""
        link = re.search(r"https?://\S+/auth/v1/verify\?[^\s)\"']+", letter.text)
        assert link, letter.text
        sent = httpx.get(link[0], follow_redirects=False, timeout=60)
        assert sent.status_code == 303, sent.text
        return urlsplit(sent.headers["Location"])


@pytest.fixture(scope="module")
def shop(place):  # noqa: F811 - a fixture
    made = Shop(place, "auth", autoconfirm=False)
    yield made
    made.close()


@pytest.fixture(scope="module")
def open_shop(place):  # noqa: F811 - a fixture
    """Addresses count as confirmed at once, as in a project without a mail server."""
    made = Shop(place, "open")
    yield made
    made.close()


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


def test_whoever_holds_the_service_key_sees_to_users(open_shop):
    admin, email = open_shop.client(open_shop.service).auth.admin, an_address()
    made = admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True}).user
    assert made.id in {user.id for user in admin.list_users()}
    admin.update_user_by_id(made.id, {"ban_duration": "24h"})
    with pytest.raises(AuthApiError) as banned:
        open_shop.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert banned.value.code == "user_banned"
    link = admin.generate_link({"type": "magiclink", "email": email})
    assert f"/project/{open_shop.shop.id}/auth/v1/verify?" in link.properties.action_link
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
def test_a_browser_signs_in_by_a_provider_by_a_passkey_and_with_a_second_factor(place, tmp_path):  # noqa: F811
    home = f"http://localhost:{(port := free_port())}/"
    made = Shop(
        place,
        "browser",
        siteUrl=home,
        redirectUrls=[f"{home}**"],
        passkeys=True,
        mfaWebauthnEnroll=True,
        mfaWebauthnVerify=True,
    )
    client = {
        "client_id": "the-shop", "client_secret": "hush", "redirect_uris": [f"{made.url}/auth/v1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
    }  # fmt: skip
    keys = KeySet([RSAKey.generate_key(2048, {"use": "sig", "kid": "one", "alg": "RS256"}, auto_kid=False)])
    (tmp_path / "provider").mkdir()
    browser.provide(tmp_path)
    with oidc.running(tmp_path / "provider", clients=[client], jwks=keys.as_dict(private=True)) as issuer:
        provider = {"keycloak": {"clientId": "the-shop", "issuer": issuer}}
        made.shop.change("settings", {"oauthProviders": provider, "oauthSecrets": {"keycloak": "hush"}}, method="PATCH")
        given = {
            "url": made.url, "anon": made.anon, "port": port, "login": "ann|ann@example.org|verified",
            "chromium": str(browser.chromium()), "script": str(browser.client_script()), "folder": str(tmp_path / "profile"),
        }  # fmt: skip
        program = shutil.copy(Path(__file__).parent / "auth_browser.mjs", tmp_path)
        done = subprocess.run(
            ["node", program, json.dumps(given)], capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    person = seen["joined"]["id"]
    assert seen["joined"] == {"id": person, "email": "ann@example.org", "provider": "keycloak"}
    assert (seen["came_by_code"], seen["fragments"]) == (True, 0), "no token stood in an address"
    assert seen["passkey"] == {"gone": True, "id": person}
    assert seen["factor"] == {"levels": ["aal2", "aal1", "aal2"], "factors": 1}
    assert seen["stranger"] == "NotAllowedError", "another authenticator knows nobody"


@pytest.mark.node
def test_the_client_for_javascript_does_the_same(open_shop, tmp_path):
    program = shutil.copy(Path(__file__).parent / "auth_client.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(installed("@supabase/supabase-js", "2.109.0") / "node_modules")
    given = {"url": open_shop.url, "anon": open_shop.anon, "service": open_shop.service, "email": an_address()}
    done = subprocess.run(
        ["node", program, json.dumps(given)], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "signedUp": True, "rows": [{"id": 7}], "foreign": [], "refreshed": True, "name": "Bob", "wrong": "invalid_credentials",
        "anonymous": True, "levels": ["aal2", "aal1", "aal2"], "listed": True, "signedOut": True,
    }  # fmt: skip
