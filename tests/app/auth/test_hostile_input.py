"""Strange texts in every place of every route: an answer of the contract, and nothing of them in a header of ours."""

from __future__ import annotations

import json
import random
from urllib.parse import quote, urlencode

import pytest

from app.auth.routes import ROUTES
from tests.app.auth.people import joined

STRANGE = (
    "\0", "a\0b", "\r\nX-Evil: 1", "' OR 1=1 --", "../../etc/passwd", "%", "%ff%fe", "\\", "{}", "[]", "null", "-1",
    "1e999", "9" * 400, "x" * 9000, "\u202e\u0663\U0001f937", "a@b@c.example", "javascript:alert(1)", "//evil.example/",
    "https://site.example.com@evil.example/", "pkce_", "e.e.e", "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
QUERY = (
    "type", "token", "token_hash", "grant_type", "provider", "scopes", "scope", "redirect_to", "sort", "filter", "page",
    "per_page", "state", "code", "error", "error_description", "code_challenge", "code_challenge_method", "apikey", "user",
    "skip_http_redirect",
)  # fmt: skip
MEMBERS = (
    "email", "phone", "password", "password_hash", "token", "token_hash", "type", "nonce", "issuer", "id", "factor_type",
    "friendly_name", "challenge_id", "ban_duration", "refresh_token", "redirect_to", "provider", "new_email", "id_token",
    "current_password", "code_verifier", "code", "channel", "auth_code", "access_token", "code_challenge",
    "code_challenge_method", "role", "aud", "domain", "provider_id",
)  # fmt: skip
HEADERS = ("redirect_to", "Referer", "User-Agent", "X-Forwarded-For", "X-Supabase-Api-Version", "Origin")
PER_ROUTE = 5


@pytest.fixture(scope="module")
def people(world):
    """Somebody whose session is good; somebody else where it was ended."""
    kept = []

    def current():
        if not kept or kept[-1].get().status_code != 200:
            kept.append(joined(world))
        return kept[-1]

    return current


def named(route):
    return f"{route.method} {route.path}"


def path_of(route, text):
    path = route.path
    while "<" in path:
        path = path[: path.index("<")] + quote(text, safe="") + path[path.index(">") + 1 :]
    return path


@pytest.mark.parametrize("route", ROUTES, ids=named)
@pytest.mark.parametrize("where", ["path and query", "headers", "body"])
def test_no_text_in_any_place_is_a_failure_of_ours(auth, people, route, where):
    auth.configure(
        site_url="https://site.example.com", passkeys=True, manual_linking=True, anonymous_sign_in=True,
        mails_per_hour=100_000, otp_rate_per_minute=100_000, verify_rate_per_minute=100_000, mail_interval_seconds=0,
    )  # fmt: skip
    for text in random.Random(named(route) + where).sample(STRANGE, PER_ROUTE):
        key = auth.key("service_role" if route.access == "admin" else "anon")
        token = people().token if route.access == "user" else key
        headers = {"apikey": key, "Authorization": f"Bearer {token}"}
        path, body = path_of(route, text if where == "path and query" else "0"), {}
        if where == "path and query":
            path += f"?{urlencode(dict.fromkeys(QUERY, text))}"
        elif where == "headers":
            plain = text.encode("ascii", "ignore").decode().replace("\r\n", " ").replace("\0", "")
            headers |= dict.fromkeys(HEADERS, plain)
        else:
            body = dict.fromkeys(MEMBERS, text)
        answer = auth.client.open(
            f"/project/{auth.id}/auth/v1{path}",
            method=route.method,
            headers=headers,
            data=urlencode(body) if route.form else json.dumps(body),
        )
        assert answer.status_code < 500, (text, answer.text)
        # No path with the end of a line leads to a project at all.
        nowhere = where == "path and query" and "\n" in text and answer.status_code == 404
        assert answer.is_json or answer.status_code in (204, 302, 303) or nowhere, (text, answer.text)
        assert "X-Evil" not in answer.headers, text
        assert "evil.example" not in answer.headers.get("Location", ""), text
