"""What is sealed opens where it was sealed, with the master key it was sealed under, and nowhere else."""

from __future__ import annotations

import secrets

import pytest

from catalog import secrets as kept
from infra.errors import Refused
from infra.secrets.vault import DataKey, Vault

CANARY = "canary-3f9c1e"


@pytest.fixture
def keys():
    """The master keys, the newest first; a test may change them."""
    return [secrets.token_hex(32)]


@pytest.fixture
def vault(keys):
    return Vault(lambda: list(keys))


def test_a_sealed_value_opens_again_and_is_not_readable(vault):
    key = vault.new_data_key("proj_a")
    sealed = vault.seal(key, "jwt_secret", 1, CANARY)
    assert vault.open(key, "jwt_secret", 1, sealed) == CANARY
    assert CANARY.encode() not in sealed
    assert vault.seal(key, "jwt_secret", 1, CANARY) != sealed
    assert CANARY not in repr(key)


@pytest.mark.parametrize(("name", "version"), [("anon_key", 1), ("jwt_secret", 2)])
def test_a_value_moved_to_another_name_or_version_is_refused(vault, name, version):
    key = vault.new_data_key("proj_a")
    sealed = vault.seal(key, "jwt_secret", 1, CANARY)
    with pytest.raises(Refused, match="changed, moved"):
        vault.open(key, name, version, sealed)
        pytest.fail("What is sealed for one name and version opens for no other")


def test_a_data_key_moved_to_another_scope_is_refused(vault):
    key = vault.new_data_key("proj_a")
    with pytest.raises(Refused):
        vault.seal(DataKey("proj_b", key.wrapped, key.master_key_id), "x", 1, CANARY)


@pytest.mark.parametrize("place", [0, 12, -1])
def test_a_flipped_bit_is_refused(vault, place):
    key = vault.new_data_key("proj_a")
    sealed = bytearray(vault.seal(key, "x", 1, CANARY))
    sealed[place] ^= 1
    with pytest.raises(Refused):
        vault.open(key, "x", 1, bytes(sealed))
    for cut in (b"", bytes(sealed)[:5]):
        with pytest.raises(Refused):
            vault.open(key, "x", 1, cut)


def test_another_master_key_is_refused_and_the_right_one_beside_a_new_one_is_not(vault, keys):
    key = vault.new_data_key("proj_a")
    sealed = vault.seal(key, "x", 1, CANARY)
    old = keys.pop()
    keys.append(secrets.token_hex(32))
    with pytest.raises(Refused, match="not among the secrets"):
        vault.open(key, "x", 1, sealed)
    keys.append(old)
    assert vault.open(key, "x", 1, sealed) == CANARY


@pytest.mark.parametrize("texts", [[], ["short"], [""]])
def test_a_missing_or_short_master_key_is_refused(texts):
    with pytest.raises(Refused, match="missing or too short"):
        Vault(lambda: texts).new_data_key("proj_a")


def test_the_canary_proves_the_master_key_at_every_start(infra, vault, keys):
    with infra.database.transaction() as tx:
        vault.check_master_key(tx)
        vault.check_master_key(tx)
    keys.insert(0, secrets.token_hex(32))
    with infra.database.transaction() as tx:
        vault.check_master_key(tx)  # the one it began with is there as well
    del keys[1]
    with infra.database.transaction() as tx, pytest.raises(Refused):
        vault.check_master_key(tx)
        pytest.fail("No start with another master key than the installation began with")
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM master_key_canary") == 1


def test_a_data_key_that_was_wrapped_anew_needs_the_old_master_key_no_more(vault, keys):
    key = vault.new_data_key("proj_a")
    sealed = vault.seal(key, "x", 1, CANARY)
    keys.insert(0, secrets.token_hex(32))
    anew = vault.rewrap(key)
    del keys[1]
    try:
        opened = vault.open(anew, "x", 1, sealed)
    except Refused as refused:
        opened = str(refused)
    assert opened == CANARY, "Once data keys are wrapped anew nothing needs the old master key"


def test_a_wrong_master_key_writes_nothing(infra, vault, keys):
    with infra.database.transaction() as tx:
        vault.check_master_key(tx)
    keys[:] = ["too short"]
    with infra.database.transaction() as tx, pytest.raises(Refused):
        kept.put(tx, vault, "proj_a", "x", CANARY)
    with infra.database.autocommit() as tx:
        assert kept.scopes(tx) == []
