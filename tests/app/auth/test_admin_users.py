"""What whoever holds the service key does with users, and that nobody else does."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.app.auth.people import PASSWORD, joined, new_email, refresh, refused, sign_in, sign_up

ROUTES = [
    ("GET", "/admin/users"),
    ("POST", "/admin/users"),
    ("GET", "/admin/users/{id}"),
    ("PUT", "/admin/users/{id}"),
    ("DELETE", "/admin/users/{id}"),
]


def created(auth, **attributes):
    answer = auth.admin("POST", "/admin/users", {"email": new_email(), **attributes})
    assert answer.status_code == 200, answer.text
    return answer.json


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_service_role_alone_gets_in(auth, method, path):
    person = joined(auth)
    path = path.format(id=person.id)
    assert refused(auth.call(method, path, {})) == (403, "not_admin")
    assert refused(auth.call(method, path, {}, bearer=person.token)) == (403, "not_admin")
    assert refused(auth.call(method, path, {}, role="service_role", headers={"Authorization": ""})) == (
        401,
        "no_authorization",
    )
    assert person.get().status_code == 200


def test_a_user_is_created_as_they_are_described(auth):
    chosen = str(uuid4())
    user = created(
        auth, id=chosen, password=PASSWORD, email_confirm=True, role="editor",
        user_metadata={"a": 1}, app_metadata={"plan": "pro"},
    )  # fmt: skip
    assert (user["id"], user["role"], user["user_metadata"]) == (chosen, "editor", {"a": 1})
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"], "plan": "pro"}
    assert user["email_confirmed_at"]
    assert sign_in(auth, user["email"]).json["user"]["id"] == chosen
    assert auth.letters.kept == []


@pytest.mark.parametrize(
    ("attributes", "refusal"),
    [
        ({"email": "taken"}, (422, "email_exists")),
        ({"phone": "taken"}, (422, "phone_exists")),
        ({"id": "taken"}, (422, "user_already_exists")),
        ({"id": "no uuid"}, (400, "validation_failed")),
        ({"ban_duration": "soon"}, (400, "validation_failed")),
        ({"ban_duration": "99999999999h"}, (400, "validation_failed")),
        ({"ban_duration": "-1h"}, (400, "validation_failed")),
        ({"password_hash": "plain"}, (400, "validation_failed")),
        ({"password": "x" * 73}, (400, "validation_failed")),
        ({"role": "x" * 256}, (400, "validation_failed")),
        ({"phone": "not a number"}, (400, "validation_failed")),
    ],
)
def test_a_user_who_cannot_be_created(auth, attributes, refusal):
    known = created(auth, phone="49" + str(uuid4().int)[:9])
    given = {name: known[name] if value == "taken" else value for name, value in attributes.items()}
    before = auth.rows("SELECT count(*) FROM auth.users")
    assert refused(auth.admin("POST", "/admin/users", {"email": new_email(), **given})) == refusal
    assert auth.rows("SELECT count(*) FROM auth.users") == before


def test_a_change_merges_metadata_and_leaves_what_is_not_named(auth):
    user = created(auth, user_metadata={"a": 1, "b": 2}, app_metadata={"c": 3})
    answer = auth.admin(
        "PUT", f"/admin/users/{user['id']}", {"user_metadata": {"a": None, "d": 4}, "app_metadata": {"e": 5}}
    )
    assert answer.status_code == 200
    assert answer.json["user_metadata"] == {"b": 2, "d": 4}
    assert answer.json["app_metadata"] == {"provider": "email", "providers": ["email"], "c": 3, "e": 5}
    assert answer.json["email"] == user["email"]


def test_a_password_set_by_the_service_key_signs_the_user_out_everywhere(auth):
    person = joined(auth)
    auth.admin("PUT", f"/admin/users/{person.id}", {"password": "set for them"})
    assert refused(person.get()) == (403, "session_not_found")
    assert refused(refresh(auth, person.refresh_token)) == (400, "refresh_token_not_found")
    assert sign_in(auth, person.email, "set for them").status_code == 200


def test_a_banned_user_does_nothing_until_the_ban_is_lifted(auth):
    person = joined(auth)
    assert auth.admin("PUT", f"/admin/users/{person.id}", {"ban_duration": "24h"}).json["banned_until"]
    for answer in (person.get(), person.put({"data": {}}), person.log_out()):
        assert refused(answer) == (403, "user_banned")
    for answer in (sign_in(auth, person.email), refresh(auth, person.refresh_token)):
        assert refused(answer) == (400, "user_banned")
    assert "banned_until" not in auth.admin("PUT", f"/admin/users/{person.id}", {"ban_duration": "none"}).json
    assert person.get().status_code == 200


def test_a_changed_address_is_that_of_the_identity_too(auth):
    person, email = joined(auth), new_email()
    user = auth.admin("PUT", f"/admin/users/{person.id}", {"email": email.upper()}).json
    assert user["email"] == user["identities"][0]["email"] == user["identities"][0]["identity_data"]["email"] == email
    assert refused(auth.admin("PUT", f"/admin/users/{person.id}", {"email": joined(auth).email})) == (
        422,
        "email_exists",
    )


@pytest.mark.parametrize("softly", [False, True])
def test_a_deleted_user_is_signed_out_and_their_address_free(auth, softly):
    person = joined(auth)
    answer = auth.admin("DELETE", f"/admin/users/{person.id}", {"should_soft_delete": softly})
    assert (answer.status_code, answer.json) == (200, {})
    assert refused(person.get()) == (403, "user_not_found")
    assert refused(refresh(auth, person.refresh_token)) == (400, "refresh_token_not_found")
    assert refused(sign_in(auth, person.email)) == (400, "invalid_credentials")
    assert sign_up(auth, person.email).status_code == 200
    row = auth.rows(
        "SELECT u::text, (SELECT count(*) FROM auth.identities i WHERE i.user_id = u.id) FROM auth.users u WHERE id = %s",
        (person.id,),
    )
    if softly:
        assert person.email not in row[0][0]
        assert "argon2id" not in row[0][0]
        assert row[0][1] == 0
    else:
        assert row == []


def test_a_user_with_files_and_rows_of_their_own_can_be_deleted(auth):
    person = joined(auth)
    with auth.tenant.as_admin() as admin:
        admin.execute("INSERT INTO storage.buckets (id, name) VALUES (%s, %s)", (person.id, person.id))
        admin.execute(
            "INSERT INTO storage.objects (bucket_id, name, owner) VALUES (%s, 'a', %s)", (person.id, person.id)
        )
    assert auth.admin("DELETE", f"/admin/users/{person.id}").status_code == 200


@pytest.fixture
def three(auth):
    """Three users with a name of their own, the oldest first."""
    name = uuid4().hex
    return name, [created(auth, user_metadata={"full_name": f"{name} {place}"}) for place in range(3)]


def listed(auth, query):
    answer = auth.admin("GET", f"/admin/users?{query}")
    assert answer.status_code == 200, answer.text
    return answer


def test_a_list_has_pages_with_headers_that_say_how_many_there_are(auth, three):
    name, users = three
    first = listed(auth, f"page=1&per_page=2&filter={name}")
    assert [user["id"] for user in first.json["users"]] == [users[2]["id"], users[1]["id"]]
    assert first.headers["X-Total-Count"] == "3"
    base = f"{auth.spec.url}/auth/v1/admin/users"
    assert first.headers["Link"] == (
        f'<{base}?page=2&per_page=2&filter={name}>; rel="next", <{base}?page=2&per_page=2&filter={name}>; rel="last"'
    )
    last = listed(auth, f"page=2&per_page=2&filter={name}")
    assert [user["id"] for user in last.json["users"]] == [users[0]["id"]]
    assert 'rel="next"' not in last.headers["Link"]
    assert listed(auth, f"page=9&filter={name}").json == {"users": [], "aud": "authenticated"}
    oldest = listed(auth, f"sort=created_at%20asc&filter={name}")
    assert [user["id"] for user in oldest.json["users"]] == [user["id"] for user in users]


def test_a_filter_takes_every_character_as_it_is(auth, three):
    name, users = three
    found = listed(auth, f"filter={users[1]['email'][:9].upper()}").json["users"]
    assert [user["id"] for user in found] == [users[1]["id"]]
    for nothing in ("%25", "_", "%5C", "'%20OR%20true--"):
        assert listed(auth, f"filter={name}{nothing}").json["users"] == []


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=1.5", "page=x", "page=%EF%BC%91", "page=99999999999999999999", "per_page=0", "per_page=x",
     "sort=encrypted_password", "sort=created_at%20sideways", "sort=created_at;drop", "filter=%00", "filter=" + "x" * 256],
)  # fmt: skip
def test_a_page_that_there_cannot_be_is_refused(auth, query):
    assert refused(auth.admin("GET", f"/admin/users?{query}")) == (400, "validation_failed")


@pytest.mark.parametrize("which", ["not-a-uuid", "%00", "0" * 10_000, "..%2f", "１２３"])
def test_an_id_that_is_none_is_not_found(auth, which):
    for method in ("GET", "PUT", "DELETE"):
        assert auth.admin(method, f"/admin/users/{which}", {}).status_code == 404
