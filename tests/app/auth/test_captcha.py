"""Captchas and leaked passwords: what keeps programs and guessed passwords out."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from app.auth import captcha
from app.auth.oauth.documents import ProviderDocuments
from catalog import owners
from infra.outbound.addresses import parse_networks
from infra.outbound.http import Outbound
from infra.secrets.leaked_passwords import opened
from tests.app.auth.conftest import PASSWORD

SECRET, GOOD = "0x-the-secret", "a-solved-captcha"


class Verifier(BaseHTTPRequestHandler):
    """Speaks what hCaptcha and Turnstile document of /siteverify: neither of them can be reached from here."""

    def do_POST(self):
        form = {
            name: values[0]
            for name, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
        }
        self.server.asked.append(form)
        if form.get("secret") != SECRET:
            said = {"success": False, "error-codes": ["invalid-input-secret"]}
        elif form.get("response") == GOOD:
            said = {"success": True, "challenge_ts": "2026-01-01T00:00:00Z", "hostname": "app.example.com"}
        else:
            said = {"success": False, "error-codes": ["invalid-input-response"]}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def verifier():
    with ThreadingHTTPServer(("127.0.0.1", 0), Verifier) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["hcaptcha", "turnstile"])
def asked(request, auth, monkeypatch):
    with verifier() as server:
        url = f"http://127.0.0.1:{server.server_port}/siteverify"
        monkeypatch.setitem(captcha.VERIFY_URLS, request.param, url)
        documents = ProviderDocuments(Outbound(parse_networks("127.0.0.0/8"), 5))
        monkeypatch.setitem(auth.services.__dict__, "oauth", documents)
        auth.configure(captcha_provider=request.param, spec={"secrets": {"captcha_secret": SECRET}})
        yield server.asked


def body(email, token):
    security = {} if token is None else {"gotrue_meta_security": {"captcha_token": token}}
    return {"email": email, "password": PASSWORD, **security}


PATHS = [
    "/signup",
    "/token?grant_type=password",
    "/recover",
    "/otp",
    "/magiclink",
    "/resend",
    "/token?grant_type=id_token",
]


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_on_without_a_solved_captcha(auth, asked, email, path):
    for token in (None, "", 7, "not-solved", "x" * 10_000):
        refused = auth.call("POST", path, body(email, token))
        assert (refused.status_code, refused.json["code"]) == (400, "captcha_failed"), (token, refused.text)
    assert [form["response"] for form in asked] == ["not-solved"]
    assert "invalid-input-response" in auth.call("POST", path, body(email, "not-solved")).json["message"]


def test_who_has_solved_it_gets_on(auth, asked, email):
    session = auth.call("POST", "/signup", body(email, GOOD))
    assert session.status_code == 200, session.text
    assert asked == [{"secret": SECRET, "response": GOOD, "remoteip": "127.0.0.1"}]
    refresh = {"refresh_token": session.json["refresh_token"]}
    assert auth.call("POST", "/token?grant_type=refresh_token", refresh).status_code == 200, "that takes no person"
    assert auth.call("GET", "/user", bearer=session.json["access_token"]).status_code == 200


def test_the_service_role_is_not_asked(auth, asked, email):
    assert auth.admin("POST", "/signup", body(email, None)).status_code == 200
    assert asked == []


def test_who_cannot_be_asked_lets_nobody_in(auth, monkeypatch, email):
    monkeypatch.setitem(captcha.VERIFY_URLS, "turnstile", "http://127.0.0.1:9/siteverify")
    auth.configure(captcha_provider="turnstile")
    refused = auth.call("POST", "/signup", body(email, GOOD))
    assert (refused.status_code, refused.json["code"]) == (500, "unexpected_failure")


@pytest.fixture
def leaked(auth, monkeypatch):
    monkeypatch.setitem(auth.services.__dict__, "leaked", opened(None, owners.common_passwords()))
    auth.configure(refuse_leaked_passwords=True)


def test_a_password_that_everybody_knows_is_refused(auth, leaked, email):
    refused = auth.call("POST", "/signup", {"email": email, "password": "Password1"})
    assert (refused.status_code, refused.json["code"]) == (422, "weak_password")
    assert refused.json["weak_password"] == {"reasons": ["pwned"]}
    assert auth.call("POST", "/signup", {"email": email, "password": PASSWORD}).status_code == 200


def test_who_has_such_a_password_already_comes_in_and_is_told(auth, leaked, email):
    user = {"email": email, "password": "password1", "email_confirm": True}
    assert auth.admin("POST", "/admin/users", user).status_code == 200
    answer = auth.call("POST", "/token?grant_type=password", {"email": email, "password": "password1"})
    assert answer.status_code == 200
    assert answer.json["weak_password"]["reasons"] == ["pwned"]


def test_without_the_setting_nobody_asks_whether_it_is_known(auth, leaked, email):
    auth.configure()
    assert auth.call("POST", "/signup", {"email": email, "password": "password1"}).status_code == 200
