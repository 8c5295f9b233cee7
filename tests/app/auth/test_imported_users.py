"""Users of a Supabase project, out of a dump of its schema auth as pg_dump writes it."""

from __future__ import annotations

import json
import uuid

import bcrypt
import pytest

from infra.errors import Refused
from infra.postgres.auth_tables.loading import load
from infra.postgres.auth_tables.reading import read_rows

PASSWORD = "correct horse"
USERS = (
    "instance_id", "id", "aud", "role", "email", "encrypted_password", "email_confirmed_at", "invited_at",
    "confirmation_token", "confirmation_sent_at", "recovery_token", "recovery_sent_at", "email_change_token_new",
    "email_change", "email_change_sent_at", "last_sign_in_at", "raw_app_meta_data", "raw_user_meta_data",
    "is_super_admin", "created_at", "updated_at", "phone", "phone_confirmed_at", "phone_change", "phone_change_token",
    "phone_change_sent_at", "email_change_token_current", "email_change_confirm_status", "banned_until",
    "reauthentication_token", "reauthentication_sent_at", "is_sso_user", "deleted_at", "is_anonymous", "of_the_future",
)  # fmt: skip
IDENTITIES = (
    "provider_id",
    "user_id",
    "identity_data",
    "provider",
    "last_sign_in_at",
    "created_at",
    "updated_at",
    "id",
)
SESSIONS = (
    "id",
    "user_id",
    "created_at",
    "updated_at",
    "factor_id",
    "aal",
    "not_after",
    "refreshed_at",
    "user_agent",
    "ip",
    "tag",
)
TOKENS = ("instance_id", "id", "token", "user_id", "revoked", "created_at", "updated_at", "parent", "session_id")
MOMENT = "2025-03-01 10:00:00+00"


class Elsewhere:
    """A person of a project elsewhere, with an address, a password and a session."""

    def __init__(self, email, **more):
        self.id, self.email, self.session = str(uuid.uuid4()), email, str(uuid.uuid4())
        self.token = uuid.uuid4().hex[:12]
        self.hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        self.more = more

    def tables(self):
        user = dict.fromkeys(USERS) | {
            "instance_id": str(uuid.UUID(int=0)), "id": self.id, "aud": "authenticated", "role": "authenticated",
            "email": self.email, "encrypted_password": self.hash, "email_confirmed_at": MOMENT, "confirmation_token": "",
            "raw_app_meta_data": json.dumps({"provider": "email", "providers": ["email"]}),
            "raw_user_meta_data": json.dumps({"name": "O'Hara \\ \"Ann\"\té\n", "n": None}), "created_at": MOMENT,
            "updated_at": MOMENT, "email_change_confirm_status": "0", "is_sso_user": "f", "is_anonymous": "f",
            "of_the_future": "whatever", **self.more,
        }  # fmt: skip
        data = json.dumps({"sub": self.id, "email": self.email, "email_verified": True})
        return {
            "audit_log_entries": (("instance_id", "id", "payload", "created_at", "ip_address"),
                                  [[None, str(uuid.uuid4()), '{"action": "login"}', MOMENT, ""]]),
            "identities": (IDENTITIES, [[self.id, self.id, data, "email", MOMENT, MOMENT, MOMENT, str(uuid.uuid4())]]),
            "refresh_tokens": (TOKENS, [[None, "7", self.token, self.id, "f", MOMENT, MOMENT, None, self.session]]),
            "schema_migrations": (("version",), [["20240101"]]),
            "sessions": (SESSIONS, [[self.session, self.id, MOMENT, MOMENT, None, "aal1", None,
                                     "2025-03-01 10:00:00", "Mozilla", "192.0.2.1", None]]),
            "users": (USERS, [[user[name] for name in USERS]]),
        }  # fmt: skip


def copied(value):
    if value is None:
        return "\\N"
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def by_copy(tables):
    parts = [
        "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n"
    ]
    parts.append("COPY public.notes (id, text) FROM stdin;\n1\tCOPY auth.users (id) FROM stdin;\n\\.\n\n")
    for table, (columns, rows) in tables.items():
        parts.append(f"COPY auth.{table} ({', '.join(columns)}) FROM stdin;\n")
        parts += ["\t".join(map(copied, row)) + "\n" for row in rows]
        parts.append("\\.\n\n\n")
    return "".join(parts)


def literal(value):
    if value is None:
        return "NULL"
    return {"t": "true", "f": "false"}.get(value, "'" + value.replace("'", "''") + "'")


def by_insert(tables):
    parts = ["SET session_replication_role = replica;\n\n"]
    for table, (columns, rows) in tables.items():
        names = ", ".join(f'"{name}"' for name in columns)
        values = ",\n\t".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
        parts.append(f'INSERT INTO "auth"."{table}" ({names}) VALUES\n\t{values};\n\n')
    return "".join(parts)


def together(people):
    made = {}
    for person in people:
        for table, (columns, rows) in person.tables().items():
            made.setdefault(table, (columns, []))[1].extend(rows)
    return made


def taken_in(auth, folder, text):
    path = folder / "auth.sql"
    path.write_text(text)
    with auth.tenant.connect(auth.tenant.roles.auth) as connection:
        return load(connection, path, lambda _line: None)


def sign_in(auth, email, password=PASSWORD):
    return auth.call("POST", "/token?grant_type=password", {"email": email, "password": password})


@pytest.mark.parametrize("written", [by_copy, by_insert])
def test_people_of_elsewhere_sign_in_as_they_are_used_to(auth, tmp_path, email, written):
    people = [Elsewhere(email), Elsewhere(f"two-{email}")]
    report = taken_in(auth, tmp_path, written(together(people)))
    assert report.written["users"] == report.written["identities"] == report.written["sessions"] == 2
    assert report.left_columns == {"users": ["of_the_future"]}
    assert report.left_tables == {"schema_migrations": 2}
    session = sign_in(auth, email)
    assert session.status_code == 200, session.text
    user = session.json["user"]
    assert user["id"] == people[0].id
    assert user["user_metadata"] == {"name": 'O\'Hara \\ "Ann"\té\n', "n": None}
    assert [each["provider"] for each in user["identities"]] == ["email"]
    assert user["created_at"].startswith("2025-03-01T10:00:00")
    assert sign_in(auth, email, "wrong horse").json["code"] == "invalid_credentials"
    (stored,) = auth.rows("SELECT encrypted_password FROM auth.users WHERE id = %s", (people[0].id,))
    assert stored[0].startswith("$argon2id$"), "the first sign-in hashes anew"


def test_whoever_is_signed_in_there_stays_so_here(auth, tmp_path, email):
    person = Elsewhere(email)
    taken_in(auth, tmp_path, by_copy(person.tables()))
    auth.configure(refresh_token_seconds=31_536_000)
    auth.rows(
        "UPDATE auth.refresh_tokens SET created_at = now(), updated_at = now() WHERE token = %s RETURNING 1",
        (person.token,),
    )
    answer = auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": person.token})
    assert answer.status_code == 200, answer.text
    assert answer.json["user"]["id"] == person.id


def test_twice_is_as_good_as_once_and_what_is_there_stays(auth, tmp_path, email):
    person = Elsewhere(email)
    text = by_copy(person.tables())
    taken_in(auth, tmp_path, text)
    token = sign_in(auth, email).json["access_token"]
    auth.call("PUT", "/user", {"data": {"name": "Bea"}}, bearer=token)
    report = taken_in(auth, tmp_path, text)
    assert set(report.written.values()) == {0}
    assert sign_in(auth, email).json["user"]["user_metadata"]["name"] == "Bea"


def test_an_address_that_somebody_has_here_stays_theirs(auth, tmp_path, email):
    made = auth.call("POST", "/signup", {"email": email, "password": "another horse"}).json["user"]
    report = taken_in(auth, tmp_path, by_copy(together([Elsewhere(email), Elsewhere(f"two-{email}")])))
    assert (report.found["users"], report.written["users"]) == (2, 1)
    assert report.written["sessions"] == 1
    assert sign_in(auth, email, "another horse").json["user"]["id"] == made["id"]


BAD = {
    "nothing of auth": "COPY public.notes (id) FROM stdin;\n1\n\\.\n",
    "nobody": "COPY auth.identities (id) FROM stdin;\n\\.\n",
    "a custom dump": "PGDMP\x01\x0e",
    "cut off": "COPY auth.users (id, email) FROM stdin;\nx\ty\n",
    "a value too few": "COPY auth.users (id, email) FROM stdin;\nx\n\\.\n",
    "an id that is none": "COPY auth.users (id, email) FROM stdin;\nx\ty\n\\.\n",
    "data that is no JSON": f"COPY auth.users (id, raw_user_meta_data) FROM stdin;\n{uuid.UUID(int=9)}\t{{\n\\.\n",
    "a call": "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), current_user);\n",
    "a subselect": "INSERT INTO auth.users (id, email) VALUES ((SELECT 1), 'x');\n",
    "a text without an end": "INSERT INTO auth.users (id, email) VALUES ('a', 'b\n",
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_cannot_be_used_is_refused_and_nobody_comes(auth, tmp_path, what):
    before = auth.rows("SELECT count(*) FROM auth.users")
    with pytest.raises(Refused):
        taken_in(auth, tmp_path, BAD[what])
    assert auth.rows("SELECT count(*) FROM auth.users") == before


def test_what_else_a_dump_says_is_not_run(auth, tmp_path, email):
    evil = "DROP TABLE auth.users;\nCREATE FUNCTION public.x() RETURNS int LANGUAGE sql AS 'SELECT 1';\n"
    name = "'); DROP TABLE auth.sessions; --"
    person = Elsewhere(email, raw_user_meta_data=json.dumps({"name": name}))
    taken_in(auth, tmp_path, evil + by_insert(person.tables()))
    assert sign_in(auth, email).json["user"]["user_metadata"]["name"] == name


def test_literals_are_read_as_postgres_writes_them(tmp_path):
    path = tmp_path / "one.sql"
    path.write_text(
        "INSERT INTO auth.users VALUES (1);\n"
        "INSERT INTO auth.users (a, b, c, d, e, f) VALUES ('it''s', E'a\\\\b\\n''c\\x41', NULL, -1.5e3, true, '{\"a\": 1}'::jsonb),\n"
        " ('back\\slash (,)', 'two\nlines', 'x'::character varying, 7, false, '');\n"
    )
    first, second = [row.values for row in read_rows(path)]
    assert first == {"a": "it's", "b": "a\\b\n'cA", "c": None, "d": "-1.5e3", "e": "true", "f": '{"a": 1}'}
    assert second == {"a": "back\\slash (,)", "b": "two\nlines", "c": "x", "d": "7", "e": "false", "f": ""}
