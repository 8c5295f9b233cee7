"""Secrets at rest: stored first, the same ever after, unreadable and immovable in the table."""

from __future__ import annotations

import secrets as randomness
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog import secrets
from infra.errors import Refused

A, B = "proj_00000000000000aa", "proj_00000000000000bb"


@pytest.fixture
def vault(infra, master_key):
    return infra.vault


def makers(*names):
    return {name: lambda _known: randomness.token_hex(16) for name in names}


def test_what_was_put_is_read_and_the_newest_version_counts(infra, vault):
    with infra.database.transaction() as tx:
        assert secrets.put(tx, vault, A, "x", "one") == 1
        assert secrets.put(tx, vault, A, "x", "two") == 2
        assert secrets.read(tx, vault, A, "x") == "two"
        assert secrets.valid(tx, vault, A, "x") == ["two", "one"]
        tx.execute("UPDATE secrets SET expires_at = now() WHERE version = 1")
        assert secrets.valid(tx, vault, A, "x") == ["two"]
        assert [(kept.name, kept.version) for kept in secrets.list_info(tx, A)] == [("x", 1), ("x", 2)]


def test_what_is_coming_is_not_shown_before_it_is_in_force_and_the_old_one_stays_for_its_time(infra, vault):
    with infra.database.transaction() as tx:
        secrets.put(tx, vault, A, "x", "one")
        secrets.put(tx, vault, A, "y", "other")
        secrets.put(tx, vault, A, "x", "two", coming=True)
        assert (secrets.read(tx, vault, A, "x"), secrets.read_all(tx, vault, A)) == ("one", {"x": "one", "y": "other"})
        assert secrets.read_all(tx, vault, A).wanted("x") == "two"
        assert secrets.read_all(tx, vault, A).wanted("y") == "other"
        until = secrets.activate(tx, A, ["x", "y"], keep_seconds=60)
        assert secrets.read(tx, vault, A, "x") == "two"
        assert [version.value for version in secrets.read_all(tx, vault, A).versions["x"]] == ["two", "one"]
        assert secrets.read_all(tx, vault, A).versions["x"][1].expires_at == until
        assert secrets.activate(tx, A, ["x"], keep_seconds=0) is None, "said twice it changes nothing"
        assert secrets.delete_expired(tx, A) == 0
        tx.execute("UPDATE secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
        assert secrets.delete_expired(tx, A) == 1
        assert [kept.version for kept in secrets.list_info(tx, A)] == [2, 1]


def test_a_missing_secret_is_said_to_be_missing(infra, vault):
    with infra.database.transaction() as tx, pytest.raises(secrets.SecretMissing):
        secrets.read(tx, vault, A, "x")


def test_secrets_are_made_once_and_may_be_made_of_each_other(infra, vault):
    chain = {**makers("first"), "second": lambda known: known["first"] + "!"}
    with infra.database.transaction() as tx:
        first = secrets.store_once(tx, vault, A, chain)
    assert first["second"] == first["first"] + "!"
    with infra.database.transaction() as tx:
        assert secrets.store_once(tx, vault, A, chain) == first
        more = secrets.store_once(tx, vault, A, {**chain, **makers("third")})
    assert {name: more[name] for name in first} == first
    assert set(more) == {"first", "second", "third"}


def test_eight_at_once_agree_on_the_secrets(infra, vault):
    def once(_n):
        with infra.database.transaction() as tx:
            return secrets.store_once(tx, vault, A, makers("x", "y"))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(once, range(8)))
    assert all(answer == answers[0] for answer in answers)


def test_a_secret_does_not_stand_in_the_table(infra, vault):
    with infra.database.transaction() as tx:
        secrets.put(tx, vault, A, "x", "canary-77aa")
        assert "canary-77aa" not in str(tx.rows("SELECT * FROM secrets")) + str(tx.rows("SELECT * FROM data_keys"))
        assert tx.value("SELECT count(*) FROM secrets WHERE position('canary-77aa'::bytea IN sealed) > 0") == 0


@pytest.mark.parametrize("swap", ["scope", "name"])
def test_swapped_ciphertexts_are_refused(infra, vault, swap):
    with infra.database.transaction() as tx:
        secrets.put(tx, vault, A, "x", "one")
        secrets.put(tx, vault, *((B, "x") if swap == "scope" else (A, "y")), "two")
        tx.execute("UPDATE secrets s SET sealed = o.sealed FROM secrets o WHERE (s.scope, s.name) <> (o.scope, o.name)")
        with pytest.raises(Refused):
            secrets.read(tx, vault, A, "x")


def test_a_forgotten_scope_is_gone_and_its_neighbour_is_not(infra, vault):
    with infra.database.transaction() as tx:
        secrets.put(tx, vault, A, "x", "one")
        secrets.put(tx, vault, B, "x", "two")
        secrets.delete_all(tx, A)
        secrets.delete_all(tx, A)
        assert secrets.read_all(tx, vault, A) == {}
        assert secrets.scopes(tx) == [B]
