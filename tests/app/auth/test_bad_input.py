"""Bodies that are wrong in every way: always a 400 or another answer of the contract, in JSON, never a failure of ours."""

from __future__ import annotations

import json

import pytest

from tests.app.auth.people import joined, new_email

WRONG = {
    "null": None,
    "number": 1,
    "float": 1.5,
    "true": True,
    "list": ["a"],
    "object": {"a": 1},
    "text": "text",
    "empty": "",
    "zero": "\0",
    "surrogate": "\ud800",
    "long": "x" * 70_000,
}
FIELDS = {
    "POST /signup": ("email", "phone", "password", "data"),
    "POST /token?grant_type=password": ("email", "phone", "password"),
    "POST /token?grant_type=refresh_token": ("refresh_token",),
    "PUT /user": ("email", "phone", "password", "data", "current_password", "app_metadata"),
    "POST /admin/users": (
        "email", "phone", "password", "password_hash", "id", "role", "aud", "email_confirm", "phone_confirm",
        "user_metadata", "app_metadata", "ban_duration",
    ),
    "PUT /admin/users/<id>": (
        "email", "phone", "password", "password_hash", "role", "aud", "email_confirm", "phone_confirm",
        "user_metadata", "app_metadata", "ban_duration",
    ),
    "DELETE /admin/users/<id>": ("should_soft_delete",),
}  # fmt: skip
TYPES = {
    "data": dict, "user_metadata": dict, "app_metadata": dict, "email_confirm": bool, "phone_confirm": bool,
    "should_soft_delete": bool,
}  # fmt: skip


@pytest.fixture(scope="module")
def person(world):
    """Somebody who stays."""
    return joined(world)


def ask(auth, person, route, body):
    method, path = route.split(" ")
    deletes = method == "DELETE" and body["should_soft_delete"] in (None, True)
    path = path.replace("<id>", joined(auth).id if deletes else person.id)
    if "admin" in path:
        return auth.admin(method, path, body)
    return auth.call(method, path, body, bearer=person.token if path == "/user" else None)


@pytest.mark.parametrize(("route", "field"), [(route, field) for route, fields in FIELDS.items() for field in fields])
def test_a_member_of_a_wrong_type_is_refused(auth, person, route, field):
    # One short of a request that would be carried out: what is right costs a hash each, and is tried elsewhere.
    valid = {"email": new_email(), "password": "x"} if "signup" in route or "token" in route else {}
    for name, value in WRONG.items():
        right = value is None or isinstance(value, TYPES.get(field, str))
        if right and field in ("password", "data", "current_password", "role", "aud"):
            continue
        answer = ask(auth, person, route, {**valid, field: value})
        assert answer.status_code < 500, (name, answer.text)
        assert answer.is_json, name
        if not right:
            assert (answer.status_code, answer.json["code"]) == (400, "bad_json"), (name, answer.text)
        elif isinstance(value, str) and name in ("zero", "surrogate"):
            assert answer.status_code == 400, (name, answer.text)


@pytest.mark.parametrize("field", ["data", "user_metadata", "app_metadata"])
@pytest.mark.parametrize(
    "text",
    [
        '{"a":"\\u0000"}',
        '{"\\u0000":1}',
        '{"a":["\\ud800"]}',
        '{"a":1e999}',
        '{"a":NaN}',
        '{"a":' + "[" * 200 + "]" * 200 + "}",
        '{"a":' + "[" * 5000 + "]" * 5000 + "}",
        '{"a":' + "9" * 5000 + "}",
    ],
    ids=["zero", "zero-name", "surrogate", "infinite", "nan", "deep", "deeper", "digits"],
)
def test_what_no_jsonb_can_hold_is_refused(auth, person, field, text):
    route = "/user" if field == "data" else f"/admin/users/{person.id}"
    key = auth.key("anon" if field == "data" else "service_role")
    answer = auth.client.put(
        f"/project/{auth.id}/auth/v1{route}",
        data=f'{{"{field}":{text}}}',
        headers={"apikey": key, "Authorization": f"Bearer {person.token if field == 'data' else key}"},
    )
    assert answer.status_code == 400, answer.text
    assert answer.json["error_code"] in ("bad_json", "validation_failed")


@pytest.mark.parametrize("text", [b"{", b"[1]", b'"text"', b"null", b"1", b"\xff", b'{"a":1}x', b'{"a":Infinity}'])
@pytest.mark.parametrize("route", FIELDS)
def test_a_body_that_is_no_object_is_refused(auth, person, route, text):
    method, path = route.split(" ")
    key = auth.key("service_role" if "admin" in path else "anon")
    answer = auth.client.open(
        f"/project/{auth.id}/auth/v1{path.replace('<id>', person.id)}",
        method=method,
        data=text,
        headers={"apikey": key, "Authorization": f"Bearer {person.token if path == '/user' else key}"},
    )
    assert answer.status_code == 400, answer.text
    assert answer.json["error_code"] == "bad_json"


def test_numbers_as_large_as_json_has_them_are_kept(auth, person):
    data = {"int": 10**30, "float": 1.5e-7, "text": "ä €😀"}
    assert person.put({"data": data}).status_code == 200
    kept = json.loads(person.get().text)["user_metadata"]
    assert {name: kept[name] for name in data} == data


@pytest.mark.parametrize("agent", ["x" * 20_000, "\xff\xfe", ""])
def test_any_user_agent_signs_in(auth, person, agent):
    answer = auth.call(
        "POST",
        "/token?grant_type=password",
        {"email": person.email, "password": person.password},
        headers={"User-Agent": agent},
    )
    assert answer.status_code == 200
