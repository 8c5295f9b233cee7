"""Functions of the project's database that Auth calls: what they are told, may change and refuse, and how far they get."""

from __future__ import annotations

import base64
import json
import time

import pytest

from tests.app.auth.conftest import PASSWORD
from tests.app.auth.test_mfa import Person

HOOK = "public.hook"


@pytest.fixture
def hook(auth):
    """Make the project's function: of its body, in PL/pgSQL, where `event` is what it is told."""

    def make(body, *, declare="", name="hook", returns="jsonb", **settings):
        owner(auth, f"CREATE OR REPLACE FUNCTION public.{name}(event jsonb) RETURNS {returns} LANGUAGE plpgsql AS $hook$ "
                    f"DECLARE {declare} BEGIN {body} END $hook$")  # fmt: skip
        auth.configure(**dict.fromkeys(settings.pop("at", ()), f"public.{name}"), **settings)

    owner(auth, "DROP TABLE IF EXISTS public.told; CREATE TABLE public.told (at serial, event jsonb)")
    auth.rows("SELECT 1")
    grant = f"GRANT ALL ON public.told, public.told_at_seq TO {auth.tenant.roles.auth}"
    owner(auth, grant)
    yield make
    owner(auth, "DROP FUNCTION IF EXISTS public.hook(jsonb)")


def owner(auth, statement):
    with auth.tenant.connect(auth.tenant.roles.owner) as connection:
        return connection.execute(statement)


def told(auth):
    return [row[0] for row in owner(auth, "SELECT event FROM public.told ORDER BY at").fetchall()]


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def make_user(auth, email):
    return auth.admin("POST", "/admin/users", {"email": email, "password": PASSWORD, "email_confirm": True}).json


def sign_in(auth, email, password=PASSWORD):
    return auth.call("POST", "/token?grant_type=password", {"email": email, "password": password})


TOKEN, KEEP = ["hook_custom_access_token"], "INSERT INTO public.told (event) VALUES (event);"


def test_a_function_says_what_stands_in_access_tokens(auth, hook, email):
    user = make_user(auth, email)
    hook(KEEP + "RETURN jsonb_set(event, '{claims,newclaim}', '\"newvalue\"') #- '{claims,user_metadata}';", at=TOKEN)
    session = sign_in(auth, email).json
    claims = claims_of(session["access_token"])
    assert claims["newclaim"] == "newvalue"
    assert "user_metadata" not in claims
    assert claims["db_role"] == auth.tenant.roles.authenticated
    refreshed = auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]})
    assert claims_of(refreshed.json["access_token"])["newclaim"] == "newvalue"
    assert auth.call("GET", "/user", bearer=refreshed.json["access_token"]).status_code == 200
    first, second = told(auth)
    assert set(first) == {"user_id", "claims", "authentication_method"}
    assert (first["user_id"], first["authentication_method"]) == (user["id"], "password")
    assert second["authentication_method"] == "token_refresh"


def test_the_database_knows_whoever_the_function_makes_of_them(auth, hook, email):
    make_user(auth, email)
    hook("RETURN jsonb_set(event, '{claims,role}', '\"service_role\"');", at=TOKEN)
    assert claims_of(sign_in(auth, email).json["access_token"])["db_role"] == auth.tenant.roles.service
    hook("RETURN jsonb_set(jsonb_set(event, '{claims,role}', '\"x\"'), '{claims,db_role}', '\"postgres\"');", at=TOKEN)
    assert claims_of(sign_in(auth, email).json["access_token"])["db_role"] == auth.tenant.roles.authenticated


@pytest.mark.parametrize(
    "answer",
    [
        "event #- '{claims,sub}'",
        "event #- '{claims,exp}'",
        "jsonb_set(event, '{claims,exp}', '\"soon\"')",
        "jsonb_set(event, '{claims,is_anonymous}', '1')",
        "event - 'claims'",
        "'{}'::jsonb",
    ],
)
def test_a_token_without_what_it_needs_is_not_made(auth, hook, email, answer):
    make_user(auth, email)
    hook(f"RETURN {answer};", at=TOKEN)
    refused = sign_in(auth, email)
    assert (refused.status_code, refused.json["code"]) == (500, "unexpected_failure")
    assert "expected schema" in refused.json["message"]


def test_a_function_refuses_in_its_own_words(auth, hook, email):
    make_user(auth, email)
    hook("""RETURN '{"error": {"http_code": 403, "message": "not today"}}';""", at=TOKEN)
    refused = sign_in(auth, email)
    assert (refused.status_code, refused.json["message"]) == (403, "not today")
    assert auth.rows("SELECT count(*) FROM auth.sessions s JOIN auth.users u ON u.id = s.user_id WHERE u.email = %s",
                     (email,)) == [(0,)]  # fmt: skip


@pytest.mark.parametrize("status", ["7", "200", "9000", "null", "true", '"403"'])
def test_a_status_that_refuses_nothing_is_a_failure_of_the_function(auth, hook, email, status):
    make_user(auth, email)
    hook(f"""RETURN '{{"error": {{"http_code": {status}, "message": "no"}}}}';""", at=TOKEN)
    refused = sign_in(auth, email)
    assert (refused.status_code, refused.json["message"]) == (500, "no")


def test_a_new_user_is_asked_about_before_they_are_there(auth, hook, email):
    body = """INSERT INTO public.told (event) VALUES (event);
        IF EXISTS (SELECT FROM auth.users u WHERE u.id = (event #>> '{user,id}')::uuid) THEN RAISE 'there already'; END IF;
        IF event #>> '{user,email}' LIKE '%@evil.example' THEN
            RETURN '{"error": {"http_code": 400, "message": "Please sign up with another address."}}';
        END IF;
        RETURN '{}';"""
    hook(body, at=["hook_before_user_created"])
    refused = auth.call("POST", "/signup", {"email": "x@evil.example", "password": PASSWORD})
    assert (refused.status_code, refused.json["message"]) == (400, "Please sign up with another address.")
    assert auth.rows("SELECT count(*) FROM auth.users WHERE email = 'x@evil.example'") == [(0,)]
    let_in = auth.call("POST", "/signup", {"email": email, "password": PASSWORD, "data": {"name": "Ann"}})
    assert let_in.status_code == 200, let_in.text
    event = told(auth)[-1]
    assert set(event) == {"metadata", "user"}
    assert event["metadata"]["name"] == "before-user-created"
    assert event["user"]["id"] == let_in.json["user"]["id"]
    assert event["user"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert event["user"]["user_metadata"]["name"] == "Ann"


def test_each_password_that_is_tried_is_told_and_may_be_refused(auth, hook, email):
    user = make_user(auth, email)
    hook(KEEP + """RETURN '{"decision": "continue"}';""", at=["hook_password_verification"])
    assert sign_in(auth, email).status_code == 200
    assert sign_in(auth, email, "wrong horse").json["code"] == "invalid_credentials"
    assert told(auth) == [{"user_id": user["id"], "valid": True}, {"user_id": user["id"], "valid": False}]
    hook("""RETURN '{"decision": "reject", "message": "too many"}';""", at=["hook_password_verification"])
    refused = sign_in(auth, email)
    assert (refused.status_code, refused.json["code"], refused.json["message"]) == (
        400,
        "invalid_credentials",
        "too many",
    )
    assert sign_in(auth, "nobody@example.com").json["message"] == "Invalid login credentials"


def test_whoever_is_refused_may_be_signed_out_everywhere(auth, hook, email):
    make_user(auth, email)
    session = sign_in(auth, email).json
    body = """RETURN '{"decision": "reject", "should_logout_user": true}';"""
    hook(body, at=["hook_password_verification"])
    assert "attempts will be rejected" in sign_in(auth, email).json["message"]
    gone = auth.call("GET", "/user", bearer=session["access_token"])
    assert gone.json["code"] == "session_not_found"


@pytest.mark.parametrize("answer", ["{}", '{"decision": "perhaps"}'])
def test_who_does_not_decide_has_failed(auth, hook, email, answer):
    make_user(auth, email)
    hook(f"RETURN '{answer}';", at=["hook_password_verification"])
    assert sign_in(auth, email).status_code == 500


def test_letters_are_given_to_the_function_instead_of_the_mail_server(auth, hook, email):
    user = make_user(auth, email)
    hook(KEEP + "RETURN '{}';", at=["hook_send_email"], site_url="https://site.example.com", mail_interval_seconds=0)
    kept = len(auth.letters.kept)
    assert auth.call("POST", "/recover", {"email": email}).status_code == 200
    assert auth.call("POST", "/recover", {"email": "nobody@example.com"}).status_code == 200
    assert len(auth.letters.kept) == kept
    (event,) = told(auth)
    assert event["user"]["id"] == user["id"]
    data = event["email_data"]
    assert data["email_action_type"] == "recovery"
    assert data["redirect_to"] == "https://site.example.com"
    answer = auth.call("POST", "/verify", {"type": "recovery", "email": email, "token": data["token"]})
    assert answer.status_code == 200, "the code that it was given is the one that works"


def test_a_change_of_address_is_given_as_one_letter_with_both_codes(auth, hook, email):
    make_user(auth, email)
    token = sign_in(auth, email).json["access_token"]
    hook(KEEP + "RETURN '{}';", at=["hook_send_email"], mail_interval_seconds=0)
    auth.call("PUT", "/user", {"email": f"new-{email}"}, bearer=token)
    (event,) = told(auth)
    data = event["email_data"]
    assert data["email_action_type"] == "email_change"
    assert event["user"]["new_email"] == f"new-{email}"
    halves = [(email, data["token"]), (f"new-{email}", data["token_new"])]
    for address, code in halves:
        half = auth.call("POST", "/verify", {"type": "email_change", "email": address, "token": code})
        assert half.status_code == 200, half.text
    assert auth.call("GET", "/user", bearer=token).json["email"] == f"new-{email}"


def test_a_function_that_refuses_a_letter_is_heard(auth, hook, email):
    make_user(auth, email)
    body = """RETURN '{"error": {"http_code": 503, "message": "the mail house burns"}}';"""
    hook(body, at=["hook_send_email"], mail_interval_seconds=0)
    answer = auth.call("POST", "/recover", {"email": email})
    assert (answer.status_code, answer.json["message"]) == (503, "the mail house burns")


WRONG = {
    "raises": ("RAISE 'no, never';", "jsonb", 500, "unexpected_failure"),
    "answers no object": ("RETURN '[1]';", "jsonb", 500, "unexpected_failure"),
    "answers no JSON": ("RETURN 'nothing';", "text", 500, "unexpected_failure"),
    "answers too much": ("RETURN jsonb_build_object('a', repeat('x', 70000));", "jsonb", 422, "hook_payload_over_size_limit"),
    "answers very much": ("RETURN jsonb_build_object('a', repeat('x', 3000000));", "jsonb", 422, "hook_payload_over_size_limit"),
    "takes too long": ("PERFORM pg_sleep(20); RETURN '{}';", "jsonb", 422, "hook_timeout"),
    "ends the transaction": ("EXECUTE 'ROLLBACK'; RETURN '{}';", "jsonb", 500, "unexpected_failure"),
    "becomes another": ("EXECUTE 'SET LOCAL ROLE service_role'; RETURN '{}';", "jsonb", 500, "unexpected_failure"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_function_that_does_wrong_harms_the_request_alone(auth, hook, email, what):
    make_user(auth, email)
    body, returns, status, code = WRONG[what]
    owner(auth, "DROP FUNCTION IF EXISTS public.hook(jsonb)")
    hook(body, returns=returns, at=TOKEN)
    refused = sign_in(auth, email)
    assert (refused.status_code, refused.json["code"]) == (status, code), refused.text
    assert "never" not in refused.json["message"], "what it raises is for its owner's log"
    auth.configure()
    assert sign_in(auth, email).status_code == 200


def test_what_a_function_raises_is_not_taken_in_whole(auth, hook, email):
    make_user(auth, email)
    hook("RAISE '%', repeat('x', 20000000);", at=TOKEN)
    refused = sign_in(auth, email)
    assert refused.json["code"] in ("hook_payload_over_size_limit", "unexpected_failure", "hook_timeout")
    assert len(refused.text) < 1000
    auth.configure()
    assert sign_in(auth, email).status_code == 200


def test_a_function_that_is_not_there_is_named(auth, email):
    make_user(auth, email)
    auth.configure(hook_custom_access_token="pg-functions://postgres/public/nowhere")
    refused = sign_in(auth, email)
    assert (refused.status_code, refused.json["code"]) == (500, "unexpected_failure")
    assert "pg-functions://postgres/public/nowhere (SQLSTATE 42883)" in refused.json["message"]


def test_a_function_runs_as_the_auth_login_and_sees_what_is_being_written(auth, hook, email):
    body = """INSERT INTO public.told VALUES (DEFAULT, to_jsonb(ARRAY[session_user::text, current_user::text]));
        IF NOT EXISTS (SELECT FROM auth.users u WHERE u.id = (event ->> 'user_id')::uuid) THEN RAISE 'not yet'; END IF;
        RETURN event;"""
    hook(body, at=TOKEN)
    assert auth.call("POST", "/signup", {"email": email, "password": PASSWORD}).status_code == 200
    assert told(auth) == [[auth.tenant.roles.auth] * 2]


def test_names_are_taken_as_postgres_takes_them(auth, hook, email):
    make_user(auth, email)
    hook("RETURN jsonb_set(event, '{claims,odd}', 'true');", name='"Odd; name"')
    auth.configure(hook_custom_access_token='PUBLIC."Odd; name"')
    assert claims_of(sign_in(auth, email).json["access_token"])["odd"] is True


@pytest.mark.timing
def test_a_function_that_cannot_be_stopped_is_let_go_and_gone_soon(auth, hook, email):
    make_user(auth, email)
    stubborn = """LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;"""
    hook(f"PERFORM set_config('statement_timeout', '0', false); {stubborn}", at=TOKEN)
    begun = time.monotonic()
    refused = sign_in(auth, email)
    assert (refused.status_code, refused.json["code"]) == (422, "hook_timeout")
    assert time.monotonic() - begun < 6
    running = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND query LIKE '%%answer AS MATERIALIZED%%' AND pid <> pg_backend_pid()"
    while auth.rows(running, (auth.tenant.roles.auth,)) != [(0,)]:
        assert time.monotonic() - begun < 20
        time.sleep(0.2)


def test_a_function_is_told_of_each_code_and_may_refuse_it(auth, hook, email):
    hook(KEEP + """RETURN '{"decision": "continue"}';""", at=["hook_mfa_verification"])
    person = Person(auth, email)
    factor = person.enroll()
    assert person.verify(factor, code="000000").status_code == 422
    assert person.verify(factor, code=person.code(factor)).status_code == 200
    wanted = {"factor_id": factor["id"], "factor_type": "totp", "user_id": str(person.id)}
    assert told(auth) == [{**wanted, "valid": False}, {**wanted, "valid": True}]
    hook("""RETURN '{"decision": "reject", "message": "too many"}';""", at=["hook_mfa_verification"])
    refused = person.verify(factor, code=person.code(factor, 1))
    assert (refused.status_code, refused.json["code"]) == (403, "mfa_verification_rejected")
    assert person.call("GET", "/user").json["code"] == "session_not_found", "who is refused is signed out"
