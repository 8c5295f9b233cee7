"""The platform's secrets as files."""

from __future__ import annotations

import base64

import pytest

from infra.errors import Refused
from infra.secrets import secretfiles


@pytest.fixture
def folder(tmp_path):
    secretfiles.ensure(tmp_path / "secrets", tmp_path / ".env")
    return tmp_path / "secrets"


def test_secrets_have_the_sizes_the_guide_names(folder):
    sizes = {name: len(base64.b64decode(secretfiles.current(folder, name))) for name in secretfiles.NAMES}
    assert sizes.pop("POSTGRES_SUPERUSER_PASSWORD") == sizes.pop("AUTHENTICATOR_PASSWORD") == 24
    assert len(secretfiles.current(folder, "INTERNAL_API_KEY")) == 64
    assert len(secretfiles.current(folder, "POSTGREST_ADMIN_KEY")) == 64
    assert {sizes[name] for name, form in secretfiles.NAMES.items() if form == secretfiles.KEY} == {32}


def test_a_second_start_overwrites_no_secret_and_dotenv_repeats_them(folder):
    before = {name: secretfiles.current(folder, name) for name in secretfiles.NAMES}
    secretfiles.ensure(folder, folder.parent / ".env")
    assert {name: secretfiles.current(folder, name) for name in secretfiles.NAMES} == before
    lines = (folder.parent / ".env").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines) == before


def test_a_rotated_secret_is_read_anew_with_the_previous_one_after_it(folder):
    old = secretfiles.current(folder, "PLATFORM_JWT_SECRET")
    (folder / "PLATFORM_JWT_SECRET").rename(folder / "PLATFORM_JWT_SECRET.previous")
    (folder / "PLATFORM_JWT_SECRET").write_text(secretfiles.generate(secretfiles.KEY))
    new, previous = secretfiles.read(folder, "PLATFORM_JWT_SECRET")
    assert previous == old != new


def test_a_missing_secret_is_named(folder):
    with pytest.raises(Refused, match="OTHER is missing"):
        secretfiles.read(folder, "OTHER")


@pytest.mark.parametrize("value", ["short", "a" * 40, "change-me-change-me-change-me-1234"])
def test_a_weak_secret_stops_the_start_and_is_not_quoted(folder, value):
    (folder / "LAUNCHDB_MASTER_KEY").write_text(value)
    with pytest.raises(Refused, match="LAUNCHDB_MASTER_KEY is weak") as refusal:
        secretfiles.check(folder)
    assert value not in str(refusal.value)


def test_a_start_says_no_to_weak_secrets_and_to_those_that_others_can_read(folder):
    secretfiles.check(folder)
    key = folder / "LAUNCHDB_MASTER_KEY"
    key.chmod(0o640)
    with pytest.raises(Refused):
        secretfiles.check(folder)
        pytest.fail("No start while others can read a secret")
    key.chmod(0o600)
    key.write_text("abcdefghijklmnopqrst")  # of letters alone, 120 bits at most
    with pytest.raises(Refused):
        secretfiles.check(folder)
        pytest.fail("No start with a secret of less than 128 bits")


def test_equal_secrets_and_open_files_stop_the_start(folder):
    (folder / "POSTGREST_ADMIN_KEY").write_text(secretfiles.current(folder, "INTERNAL_API_KEY"))
    (folder / "AUTHENTICATOR_PASSWORD").chmod(0o644)
    with pytest.raises(Refused, match=r"AUTHENTICATOR_PASSWORD can be read by others; .*POSTGREST_ADMIN_KEY equals"):
        secretfiles.check(folder)


def test_a_secret_that_is_gone_is_not_made_anew_and_its_copy_is_kept(folder):
    dotenv = folder.parent / ".env"
    before = dotenv.read_text()
    (folder / "LAUNCHDB_MASTER_KEY").unlink()
    with pytest.raises(Refused, match=r"LAUNCHDB_MASTER_KEY is gone from .*; put it back"):
        secretfiles.ensure(folder, dotenv)
    assert not (folder / "LAUNCHDB_MASTER_KEY").exists()
    assert dotenv.read_text() == before


def test_a_first_start_that_was_cut_short_goes_on_with_the_secrets_it_made(tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    (folder / "LAUNCHDB_MASTER_KEY").write_text(key := secretfiles.generate(secretfiles.KEY))
    (folder / "LAUNCHDB_MASTER_KEY").chmod(0o600)
    secretfiles.ensure(folder, tmp_path / ".env")
    assert secretfiles.current(folder, "LAUNCHDB_MASTER_KEY") == key
