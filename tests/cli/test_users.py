"""launchdb users: who signs in to a project, seen to by whoever owns it."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from infra.mail.mailbox import Mailbox
from tests.cli.test_nouns import shop, worker  # noqa: F401 - fixtures
from tests.fixtures.servers import wait_until

ANN = "ann@example.com"


@pytest.fixture
def users(launchdb, shop):  # noqa: F811 - a fixture
    """The command, for a project of this operator's."""

    def run(*words, code=0, stdin=""):
        done = launchdb.run("users", *words, stdin=stdin)
        assert done.code == code, done.err
        return done

    launchdb.environment["LAUNCHDB_PROJECT"] = "shop"
    return run


def test_a_user_is_made_shown_kept_out_let_in_and_deleted(users):
    assert users("list", "--json").json == {"users": []}
    made = users("create", ANN, "--password-stdin", "--json", stdin="correct horse\n").json
    assert made["email_confirmed_at"]
    assert "correct horse" not in json.dumps(made)
    users("create", ANN, code=4)
    users("create", "bob@example.com", "--unconfirmed")
    listed = users("list").out
    assert listed.index("bob@example.com") < listed.index(ANN), "newest first"
    assert [user["email"] for user in users("list", "--filter", "ann", "--json").json["users"]] == [ANN]
    assert len(users("list", "--limit", "1", "--json").json["users"]) == 1

    assert "identities" in users("show", "shop", ANN).out
    assert users("show", made["id"], "--json").json["id"] == made["id"]
    users("show", "nobody@example.com", code=5)

    assert users("ban", ANN, "--for", "24h", "--json").json["banned_until"]
    assert not users("ban", ANN, "--lift", "--json").json.get("banned_until")

    refused = users("delete", ANN, code=2, stdin="bob@example.com\n")
    assert "nothing was changed" in refused.err
    users("delete", ANN, stdin=f"{ANN}\n")
    users("delete", "bob@example.com", "--soft", "--yes")
    users("show", ANN, code=5)


def test_an_invited_user_finds_a_letter_and_a_forgotten_password_has_a_link(users, settings):
    users("invite", ANN)
    box = Mailbox(settings.mailbox_folder)
    wait_until(lambda: box.messages(), seconds=20)
    assert box.messages()[0].to == ANN
    link = users("reset-password", ANN, "--json").json["link"]
    assert "/auth/v1/verify?" in link
    assert users("reset-password", ANN, "--mail").out == f"a link was mailed to {ANN}\n"
    assert users("mfa", ANN, "--json").json == {"factors": []}


def test_users_of_elsewhere_come_out_of_a_dump(users, tmp_path):
    dump = tmp_path / "auth.sql"
    dump.write_text(f"COPY auth.users (id, email, odd) FROM stdin;\n{UUID(int=5)}\told@example.com\tx\n\\.\n")
    said = users("import", str(dump)).out
    assert "users  1        1" in said
    assert "columns of auth.users left aside: odd" in said
    assert users("show", "old@example.com", "--json").json["id"] == str(UUID(int=5))
    users("import", str(tmp_path / "nowhere"), code=5)


def test_who_names_no_user_is_told_how(users):
    users("show", "proj_0000000000000000", code=2)
    users("show", "a", "b", "c", code=2)
