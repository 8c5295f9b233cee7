"""The operator's account of a start: whether it was made now, or has another password than before, is said."""

from __future__ import annotations

import json

import httpx
import pytest

from catalog import owners, sessions
from infra.secrets.passwords import Passwords
from scripts.cli.installation.demo import EMAIL, ensure_demo


@pytest.fixture
def start(infra, home, unused_port, capsys):
    """Begin a start without an API; give what it said and the password that stands in the file now."""
    settings = infra.settings.model_copy(update={"port": unused_port})

    def started():
        with pytest.raises(httpx.ConnectError):
            ensure_demo(settings)
        password = json.loads((home / "operator.json").read_text())["password"]
        return capsys.readouterr().err, password

    return started


def test_a_lost_file_means_a_new_password_and_that_is_said(start, infra, home):
    said, first = start()
    assert f"operator account {EMAIL} created" in said
    with infra.database.transaction() as tx:
        owner = owners.by_email(tx, EMAIL).id
        sessions.start(tx, owner, seconds=60, address="")
    (home / "operator.json").unlink()
    said, second = start()
    assert "created" not in said
    assert f"operator account {EMAIL} has a new password, and what the old one had opened has ended" in said
    with infra.database.transaction() as tx:
        stored = owners.password_hash(tx, owner)
        assert [Passwords(1).matches(each, stored) for each in (first, second)] == [False, True]
        assert tx.value("SELECT count(*) FROM refresh_tokens WHERE revoked_at IS NULL") == 0


def test_an_account_whose_password_is_known_is_left_as_it_is(start):
    _, first = start()
    said, again = start()
    assert again == first
    assert "operator account" not in said


def test_who_gives_a_password_anew_is_told_what_it_ended(launchdb):
    words = ("owners", "create", "ada@example.com", "--password-stdin")
    said = [
        launchdb.run(*words, *more, stdin="correct horse battery staple\n").out.strip()
        for more in ((), (), ("--anew",), ("--anew", "--operator"))
    ]
    assert said == [
        "ada@example.com was created",
        "ada@example.com was there already",
        "ada@example.com was there already, and has this password and nothing that another one had opened",
        "ada@example.com was there already, and has this password and nothing that another one had opened, and is an operator",
    ]
