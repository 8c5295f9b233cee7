"""What each service's container finds in its folder of secrets: what it is given, always the newest, and nothing else."""

from __future__ import annotations

import stat

import pytest

from infra import files
from infra.secrets import secret_changes, secretfiles
from infra.secrets.service_folders import deal_out
from infra.secrets.services import SERVICES

OF_CONTAINERS = {name: given for name, given in SERVICES.items() if not given.everything}


@pytest.fixture
def home(tmp_path):
    """A home whose folders are there, and whose secrets were dealt out."""
    for name in ("secrets", *(f"services/{service}" for service in OF_CONTAINERS)):
        files.ensure_folder(tmp_path / name)
    secretfiles.ensure(tmp_path / "secrets", tmp_path / ".env")
    deal_out(tmp_path / "secrets")
    return tmp_path


def values(folder) -> str:
    return "".join(path.read_text() for path in sorted(folder.iterdir()) if path.name != secret_changes.IDS)


@pytest.mark.parametrize("service", sorted(OF_CONTAINERS))
def test_a_service_has_the_secrets_that_it_is_given_and_no_other(home, service):
    given, folder = OF_CONTAINERS[service], home / "services" / service
    held = values(folder)
    for name in (*secretfiles.NAMES, *secretfiles.OWN):
        value = secretfiles.current(home / "secrets", name)
        assert (value in held) == (name in {*given.files, *given.logins.values()}), name
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secret = path.read_text()
        assert path.name != secret_changes.IDS or not any(
            secretfiles.current(home / "secrets", name) in secret for name in secretfiles.NAMES
        )


def test_a_new_value_is_taken_before_it_is_shown_and_the_old_one_until_it_ends(home):
    secrets, api, name = home / "secrets", home / "services" / "platform-api", "PLATFORM_JWT_SECRET"
    old, new = secretfiles.current(secrets, name), secretfiles.generate(secretfiles.KEY)
    deal_out(secrets, coming={name: new})
    assert secretfiles.read(api, name) == [old, new]
    secret_changes.activate(secrets, home / ".env", name, new, keep_old=True)
    deal_out(secrets)
    assert secretfiles.read(api, name) == secretfiles.read(secrets, name) == [new, old]
    secret_changes.retire(secrets, name, secret_changes.secret_id(old))
    deal_out(secrets)
    assert secretfiles.read(api, name) == [new]


def test_the_api_knows_by_what_secrets_are_known_that_it_does_not_have(home):
    for name in secretfiles.NAMES:
        known = secret_changes.valid_ids(home / "services" / "platform-api", name)
        assert known == [secret_changes.secret_id(secretfiles.current(home / "secrets", name))]
    assert not (home / "services" / "platform-api" / "BACKUP_ENCRYPTION_KEY").exists()


def test_what_somebody_has_laid_there_goes_and_what_is_right_is_not_touched(home):
    folder = home / "services" / "auth-service"
    (folder / "LAUNCHDB_MASTER_KEY").write_text("given by hand")
    (folder / "pgpass").write_text("another")
    assert deal_out(home / "secrets")
    assert [path.name for path in folder.iterdir()] == ["pgpass"]
    # Reading it changes when it was last read.
    before = (folder / "pgpass").stat()
    assert not deal_out(home / "secrets")
    after = (folder / "pgpass").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


def test_an_object_store_s_secret_is_storage_s_and_the_workers_alone(home):
    secrets, name = home / "secrets", secretfiles.STORE_SECRET
    assert not (home / "services" / "storage-service" / name).exists(), "files lie in the home"
    files.replace(secrets / name, "of the store\n")
    assert deal_out(secrets)
    holders = {service for service in OF_CONTAINERS if (home / "services" / service / name).exists()}
    assert holders == {"storage-service"}
    assert (home / "services" / "storage-service" / name).read_text() == "of the store\n"
    (secrets / name).unlink()
    deal_out(secrets)
    assert not (home / "services" / "storage-service" / name).exists()


def test_where_all_services_are_one_account_nothing_is_dealt_out(tmp_path):
    secretfiles.ensure(tmp_path / "secrets", tmp_path / ".env")
    deal_out(tmp_path / "secrets")
    assert not (tmp_path / "services").exists()
    assert not (tmp_path / "secrets" / "pgpass").exists()
