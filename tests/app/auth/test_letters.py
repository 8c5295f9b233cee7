"""Letters of Auth: whoever has one is let in once, until it is old or replaced, and where the project allows it."""

from __future__ import annotations

import time

import pytest

from infra.errors import Unavailable
from tests.app.auth.conftest import PASSWORD
from tests.app.auth.mailed import APP, OPEN, SITE, at_once, follow, person, place, refused, signed_in


@pytest.fixture(autouse=True)
def _configured(auth):
    auth.configure(**OPEN)


def sign_up(auth, email, **more):
    answer = auth.call("POST", "/signup", {"email": email, "password": PASSWORD, **more})
    assert answer.status_code == 200, answer.text
    return answer.json


def sign_in(auth, email):
    return auth.call("POST", "/token?grant_type=password", {"email": email, "password": PASSWORD})


def sessions(auth, email):
    query = "SELECT count(*) FROM auth.sessions s JOIN auth.users u ON u.id = s.user_id WHERE u.email = %s"
    return auth.rows(query, (email,))[0][0]


def test_who_signs_up_is_let_in_once_their_address_is_confirmed(auth, email):
    user = sign_up(auth, email, data={"name": "Ann"})
    assert (user["email"], user["user_metadata"]) == (email, {"name": "Ann"})
    assert user["confirmation_sent_at"]
    assert "email_confirmed_at" not in user
    refused(sign_in(auth, email), 400, "email_not_confirmed")
    to, query, fragment = place(follow(auth, auth.letters.last(email).url))
    assert (to, query) == (SITE, {})
    assert (fragment["type"], fragment["token_type"], fragment["expires_in"], fragment["sb"]) == (
        "signup",
        "bearer",
        "3600",
        "",
    )
    me = auth.call("GET", "/user", bearer=fragment["access_token"]).json
    assert (me["id"], me["identities"][0]["identity_data"]["email_verified"]) == (user["id"], True)
    assert me["email_confirmed_at"]
    assert sign_in(auth, email).status_code == 200


@pytest.mark.parametrize("by", ["link", "hash", "code"])
def test_of_ten_who_use_a_letter_at_once_one_gets_a_session(auth, email, by):
    person(auth, email)
    auth.call("POST", "/otp", {"email": email})
    letter = auth.letters.last(email)

    def use(_):
        if by == "link":
            return "access_token" in place(follow(auth, letter.url))[2]
        body = {"token_hash": letter.token_hash} if by == "hash" else {"email": email, "token": letter.token}
        answer = auth.call("POST", "/verify", {"type": "magiclink", **body})
        return answer.status_code == 200 or refused(answer, 403, "otp_expired") is None

    assert sum(at_once(10, use)) == 1, "A link or code of a letter lets in once"
    assert sessions(auth, email) == 1


def test_a_letter_that_nobody_answered_in_time_is_good_no_more(auth, email):
    person(auth, email)
    auth.call("POST", "/recover", {"email": email})
    letter = auth.letters.last(email)
    auth.now = lambda: time.time() + 3599
    auth.call("POST", "/otp", {"email": (other := f"o{email}")})
    auth.now = lambda: time.time() + 3601
    said = place(follow(auth, letter.url))[2].get("error_code")
    assert said == "otp_expired", "A link or code of a letter is good for its time"
    body = {"type": "recovery", "email": email, "token": letter.token}
    assert (
        refused(auth.call("POST", "/verify", body), 403, "otp_expired")["message"] == "Token has expired or is invalid"
    )
    assert "access_token" in place(follow(auth, auth.letters.last(other).url))[2]


def test_the_next_letter_replaces_the_one_before(auth, email):
    person(auth, email)
    auth.call("POST", "/otp", {"email": email})
    first = auth.letters.last(email)
    auth.call("POST", "/recover", {"email": email})
    assert place(follow(auth, first.url))[2]["error_code"] == "otp_expired"
    assert place(follow(auth, auth.letters.last(email).url))[2]["type"] == "recovery"


def test_a_letter_that_could_not_be_kept_leaves_nobody_outside(auth, email):
    auth.letters.failure = Unavailable("the platform's database is away")
    assert auth.call("POST", "/signup", {"email": email, "password": PASSWORD}).status_code == 503
    assert auth.call("POST", "/otp", {"email": email}).status_code == 503
    auth.letters.failure = None
    sign_up(auth, email)
    assert "access_token" in place(follow(auth, auth.letters.last(email).url))[2]


def test_a_link_leads_to_the_projects_own_address_whatever_a_request_says(auth, email):
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    auth.call("POST", "/otp", {"email": email}, headers=forged)
    mail = auth.letters.mail(email)
    assert "evil.example" not in mail.html + mail.text + mail.about.url
    assert mail.about.url.startswith(f"{auth.spec.url}/auth/v1/verify?token=")
    link = auth.call(
        "POST", "/admin/generate_link", {"type": "magiclink", "email": email}, role="service_role", headers=forged
    ).json
    assert link["action_link"].startswith(f"{auth.spec.url}/auth/v1/verify?token=")


@pytest.mark.parametrize(
    ("asked", "led_to"),
    [(APP, APP), ("https://evil.example/x", SITE), ("https://app.example.com.evil.example/", SITE), ("", SITE)],
)
def test_a_link_leads_on_to_where_the_project_allows_it(auth, email, asked, led_to):
    auth.call("POST", f"/otp?redirect_to={asked}", {"email": email})
    letter = auth.letters.last(email)
    assert letter.redirect_to == led_to
    assert place(follow(auth, letter.url))[0] == led_to
    wrong = f"{auth.spec.url}/auth/v1/verify?token=none&type=signup&redirect_to={asked}"
    assert place(follow(auth, wrong))[0] == led_to


def test_what_a_setting_no_longer_allows_is_not_led_to(auth, email):
    auth.call("POST", f"/otp?redirect_to={APP}", {"email": email})
    auth.configure(**OPEN | {"redirect_urls": []})
    assert place(follow(auth, auth.letters.last(email).url))[0] == SITE


def test_without_a_site_a_link_still_confirms_and_gives_no_session_away(auth, email):
    auth.configure(**OPEN | {"site_url": "", "redirect_urls": []})
    sign_up(auth, email)
    url = auth.letters.last(email).url
    assert follow(auth, url).json["code"] == "200"
    assert sessions(auth, email) == 0
    refused(follow(auth, url, **{"X-Supabase-Api-Version": "2024-01-01"}), 403, "otp_expired")
    assert sign_in(auth, email).status_code == 200


def test_a_program_that_looks_through_mail_uses_no_link_up(auth, email):
    auth.call("POST", "/otp", {"email": email})
    url = auth.letters.last(email).url
    path = url.removeprefix(auth.spec.url)
    assert auth.client.head(f"/project/{auth.id}{path}").status_code == 204
    assert "access_token" in place(follow(auth, url))[2]


@pytest.mark.parametrize(
    "query",
    ["type=signup", "token=abc", "type=nonsense&token=abc"],
)
def test_a_link_that_is_none_is_answered_as_such(auth, query):
    answer = follow(auth, f"{auth.spec.url}/auth/v1/verify?{query}", **{"X-Supabase-Api-Version": "2024-01-01"})
    refused(answer, 400, "validation_failed")


@pytest.mark.parametrize("token", ["%00", "%ED%A0%80", "'%20OR%201=1", "a" * 5000, "pkce_"])
def test_a_token_that_nobody_made_is_one_that_is_not_good(auth, token):
    _, query, fragment = place(follow(auth, f"{auth.spec.url}/auth/v1/verify?type=signup&token={token}"))
    assert fragment.pop("sb") == ""
    assert fragment["error_code"] == "otp_expired"
    assert query == (fragment if token == "pkce_" else {})


def test_a_code_counts_for_the_address_it_was_mailed_to_alone(auth, email):
    person(auth, email)
    auth.call("POST", "/otp", {"email": email})
    code = auth.letters.last(email).token
    shifted = {"email": email[:-1], "token": email[-1] + code}  # the same letters, and so the same hash
    answer = auth.call("POST", "/verify", {"type": "email", **shifted})
    assert answer.status_code == 403, "A code counts for the address it was mailed to, however the two are cut"
    assert auth.call("POST", "/verify", {"type": "email", "email": email, "token": code}).status_code == 200


def test_a_new_password_ends_what_is_on_its_way(auth, email):
    person(auth, email)
    session = signed_in(auth, email)
    auth.call("POST", "/recover", {"email": email})
    assert auth.call("PUT", "/user", {"password": PASSWORD}, bearer=session["access_token"]).status_code == 200
    assert place(follow(auth, auth.letters.last(email).url))[2]["error_code"] == "otp_expired"
    auth.call("POST", "/recover", {"email": email})
    user = session["user"]["id"]
    assert auth.admin("PUT", f"/admin/users/{user}", {"password": f"{PASSWORD} 2"}).status_code == 200
    assert place(follow(auth, auth.letters.last(email).url))[2]["error_code"] == "otp_expired"


def test_who_is_banned_gets_in_by_no_letter(auth, email):
    user = person(auth, email)
    auth.call("POST", "/otp", {"email": email})
    auth.admin("PUT", f"/admin/users/{user['id']}", {"ban_duration": "24h"})
    letter = auth.letters.last(email)
    assert place(follow(auth, letter.url))[2]["error_code"] == "user_banned"
    refused(auth.call("POST", "/verify", {"type": "email", "email": email, "token": letter.token}), 403, "user_banned")
    auth.admin("PUT", f"/admin/users/{user['id']}", {"ban_duration": "none"})
    assert "access_token" in place(follow(auth, letter.url))[2]


def test_an_otp_signs_up_who_is_new(auth, email):
    assert auth.call("POST", "/otp", {"email": email, "data": {"name": "Ann"}}).json == {}
    letter = auth.letters.last(email)
    assert letter.kind == "confirmation"
    session = auth.call("POST", "/verify", {"type": "email", "email": email, "token": letter.token}).json
    assert session["user"]["user_metadata"] == {"name": "Ann"}
    assert auth.call("POST", "/otp", {"email": email}).json == {}
    assert auth.letters.last(email).kind == "magic_link"


def test_where_addresses_count_as_confirmed_an_otp_is_a_magic_link(auth, email):
    auth.configure(**OPEN | {"autoconfirm": True})
    assert auth.call("POST", "/magiclink", {"email": email}).json == {}
    letter = auth.letters.last(email)
    assert letter.kind == "magic_link"
    assert place(follow(auth, letter.url))[2]["type"] == "magiclink"


def test_where_nobody_may_register_an_otp_registers_nobody(auth, email):
    auth.configure(**OPEN | {"sign_up": False})
    refused(auth.call("POST", "/otp", {"email": email}), 422, "signup_disabled")
    person(auth, email)
    assert auth.call("POST", "/otp", {"email": email}).json == {}


def test_an_invitation_makes_a_user_who_has_still_to_take_it(auth, email):
    invited = auth.admin("POST", "/invite", {"email": email, "data": {"team": "a"}}).json
    assert (invited["email"], invited["user_metadata"]) == (email, {"team": "a"})
    assert invited["invited_at"]
    letter = auth.letters.last(email)
    assert letter.data == {"team": "a"}
    assert place(follow(auth, letter.url))[2]["type"] == "invite"
    refused(auth.admin("POST", "/invite", {"email": email}), 422, "email_exists")


def test_a_link_for_the_projects_own_server_works_as_one_of_a_letter(auth, email):
    body = {"type": "signup", "email": email, "password": PASSWORD, "data": {"a": 1}}
    link = auth.admin("POST", "/admin/generate_link", body).json
    assert auth.letters.count(email) == 0
    assert link["user_metadata"] == {"a": 1}
    assert place(follow(auth, link["action_link"]))[2]["type"] == "signup"
    magic = auth.admin("POST", "/admin/generate_link", {"type": "magiclink", "email": email}).json
    assert (magic["verification_type"], magic["id"]) == ("magiclink", link["id"])
    code = {"type": "magiclink", "email": email, "token": magic["email_otp"]}
    assert auth.call("POST", "/verify", code).json["user"]["id"] == link["id"]
    other = auth.admin("POST", "/admin/generate_link", {"type": "magiclink", "email": f"x{email}"}).json
    assert other["verification_type"] == "signup"
    for wrong in ({"type": "nonsense"}, {"type": "signup", "email": f"y{email}"}, {"type": "signup", "email": "no"}):
        refused(auth.admin("POST", "/admin/generate_link", {"email": email, **wrong}), 400, "validation_failed")


def test_a_letter_says_what_the_project_and_the_user_say(auth, email):
    template = {
        "subject": "Hi {{ .Data.name }}",
        "body": "<a href='{{ .ConfirmationURL }}'>{{ .Data.name }}</a> {{ .SiteURL }}",
    }
    from catalog.settings_model import MailTemplates

    auth.configure(
        **OPEN | {"mail_templates": MailTemplates.model_validate({"confirmation": {**template, "text": None}})}
    )
    auth.call("POST", "/otp", {"email": email, "data": {"name": "<b>Ann</b>"}})
    mail = auth.letters.mail(email)
    assert mail.subject == "Hi <b>Ann</b>"
    assert "&lt;b&gt;Ann&lt;/b&gt;" in mail.html
    assert "<b>" not in mail.html
    assert mail.about.url in mail.text
    assert mail.text.endswith(f" {SITE}\n")


def test_the_owners_settings_say_how_long_a_code_is(auth, email):
    auth.configure(**OPEN | {"otp_length": 8})
    auth.call("POST", "/otp", {"email": email})
    assert len(auth.letters.last(email).token) == 8


def test_a_code_lets_change_a_password_where_a_day_has_passed(auth, email):
    auth.configure(**OPEN | {"password_reauthentication": True})
    person(auth, email)
    session = signed_in(auth, email)
    token = session["access_token"]

    def change(password, **more):
        return auth.call("PUT", "/user", {"password": password, **more}, bearer=token)

    assert change(PASSWORD).status_code == 200
    auth.now = lambda: time.time() + 86_500
    body = {"refresh_token": session["refresh_token"]}
    token = auth.call("POST", "/token?grant_type=refresh_token", body).json["access_token"]
    refused(change("another one"), 400, "reauthentication_needed")
    assert auth.call("GET", "/reauthenticate", bearer=token).json == {}
    letter = auth.letters.last(email)
    assert (letter.kind, letter.url) == ("reauthentication", "")
    refused(
        change("another one", nonce="000000" if letter.token != "000000" else "1"), 422, "reauthentication_not_valid"
    )
    assert change("another one", nonce=letter.token).status_code == 200
    refused(change("a third one", nonce=letter.token), 422, "reauthentication_not_valid")


def test_who_has_no_address_cannot_reauthenticate(auth):
    auth.configure(**OPEN | {"anonymous_sign_in": True})
    token = auth.call("POST", "/signup", {}).json["access_token"]
    refused(auth.call("GET", "/reauthenticate", bearer=token), 400, "validation_failed")
