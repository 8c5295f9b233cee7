"""What tests of letters share: people without a password, links that are followed, flows with PKCE."""

from __future__ import annotations

import base64
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlsplit

SITE, APP = "https://site.example.com", "https://app.example.com/welcome"
OPEN = {
    "autoconfirm": False,
    "mail_interval_seconds": 0,
    "site_url": SITE,
    "redirect_urls": ["https://app.example.com/**"],
    "otp_rate_per_minute": 100_000,
    "verify_rate_per_minute": 100_000,
    "mails_per_hour": 100_000,
}


def person(auth, email, *, confirmed=True, **more):
    """A user without a password, which would take a while to hash."""
    answer = auth.admin("POST", "/admin/users", {"email": email, "email_confirm": confirmed, **more})
    assert answer.status_code == 200, answer.text
    return answer.json


def follow(auth, url, **headers):
    """Follow the link of a letter, as a browser does: without a key."""
    path = url.removeprefix(f"{auth.spec.url}/auth/v1")
    assert path != url, f"{url} does not lead to the project"
    client = auth.client.application.test_client()
    return client.get(f"/project/{auth.id}/auth/v1{path}", headers=headers)


def place(answer):
    """Where a redirect leads: the address itself, its query and its fragment."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["Location"])
    query, fragment = (dict(parse_qsl(text, keep_blank_values=True)) for text in (parts.query, parts.fragment))
    return f"{parts.scheme}://{parts.netloc}{parts.path}", query, fragment


def refused(answer, status, code):
    assert (answer.status_code, answer.json.get("code")) == (status, code), answer.text
    return answer.json


def signed_in(auth, email):
    """A session of somebody, by a code out of their letter box."""
    assert auth.call("POST", "/otp", {"email": email}).status_code == 200
    answer = auth.call("POST", "/verify", {"type": "email", "email": email, "token": auth.letters.last(email).token})
    assert answer.status_code == 200, answer.text
    return answer.json


def at_once(count, what):
    """The answers of so many who ask at the same time."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(what, range(count)))


class Flow:
    """One flow with PKCE."""

    def __init__(self) -> None:
        self.verifier = secrets.token_urlsafe(40)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self.members = {"code_challenge": challenge, "code_challenge_method": "s256"}

    def exchange(self, auth, code, verifier=None):
        body = {"auth_code": code, "code_verifier": verifier or self.verifier}
        return auth.call("POST", "/token?grant_type=pkce", body)
