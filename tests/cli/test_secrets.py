"""launchdb secrets: rotated and looked after from the command line."""

from __future__ import annotations

import getpass

import pytest

from infra.secrets import secretfiles
from tests.cli.test_nouns import worker

__all__ = ["worker"]


def dotenv(home) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (home / ".env").read_text().splitlines())


def test_a_rotated_secret_stands_in_the_folder_and_in_dotenv(launchdb, home, operator, worker):
    folder = home / "secrets"
    old = secretfiles.current(folder, "INTERNAL_API_KEY")
    (home / ".env").write_text("# ours\n" + (home / ".env").read_text() + "SMTP_HOST=mail.example.org\n")
    (home / ".env").chmod(0o400)
    told = launchdb.run("secrets", "rotate", "internalApiKey", timeout=60)
    assert told.code == 0, told.err
    assert "the old one is good until" in told.out
    new = secretfiles.current(folder, "INTERNAL_API_KEY")
    assert secretfiles.read(folder, "INTERNAL_API_KEY") == [new, old]
    text = (home / ".env").read_text()
    assert f"INTERNAL_API_KEY={new}\n" in text
    assert text.startswith("# ours\n")
    assert text.endswith("SMTP_HOST=mail.example.org\n")
    assert (home / ".env").stat().st_mode & 0o777 == 0o400
    assert new not in told.out + told.err


def test_check_wants_to_be_told_of_copies_and_of_new_ones_after_a_rotation(launchdb, home, infra, operator, worker):
    with infra.database.transaction() as tx:
        infra.vault.check_master_key(tx)
    first = launchdb.run("secrets", "check")
    assert first.code == 1
    assert "nobody has said that a copy of LAUNCHDB_MASTER_KEY" in first.err
    assert "nobody has said that a copy of BACKUP_ENCRYPTION_KEY" in first.err
    assert launchdb.run("secrets", "check", "--acknowledge").code == 0
    shown = launchdb.run("secrets", "check", "--json").json
    assert shown["faults"] == []
    kept = {one["secret"]: one["copyOf"] for one in shown["secrets"]}
    assert kept["masterKey"] == kept["backupEncryptionKey"] == getpass.getuser()
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT actor FROM audit WHERE action = 'secrets.acknowledge'") == "operator"
    assert launchdb.run("secrets", "rotate", "backupEncryptionKey", timeout=60).code == 0
    after = launchdb.run("secrets", "check")
    assert (after.code, "BACKUP_ENCRYPTION_KEY" in after.err, "LAUNCHDB_MASTER_KEY lies" in after.err) == (
        1,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("name", "value", "mode", "said"),
    [
        ("INTERNAL_API_KEY", "deadbeef" * 3, 0o600, "INTERNAL_API_KEY is weak"),
        ("PLATFORM_JWT_SECRET", "change-me-change-me-change-me-1234", 0o600, "PLATFORM_JWT_SECRET is weak"),
        ("POSTGREST_ADMIN_KEY", None, 0o644, "POSTGREST_ADMIN_KEY can be read by others"),
    ],
)
def test_check_names_what_is_unfit_and_never_quotes_it(launchdb, home, name, value, mode, said):
    path = home / "secrets" / name
    value = value or path.read_text().strip()
    path.write_text(value)
    path.chmod(mode)
    found = launchdb.run("secrets", "check")
    assert (found.code, said in found.err) == (1, True)
    assert value not in found.out + found.err


def test_check_names_an_earlier_value_that_nobody_retires_any_more(launchdb, home):
    assert launchdb.run("secrets", "check", "--acknowledge").code == 0
    path = home / "secrets" / "INTERNAL_API_KEY.previous"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    found = launchdb.run("secrets", "check")
    assert (found.code, "an earlier INTERNAL_API_KEY is still good" in found.err) == (1, True)
    path.chmod(0o640)
    assert "INTERNAL_API_KEY.previous can be read by others" in launchdb.run("secrets", "check").err


def test_what_cannot_be_rotated_is_a_usage_error(launchdb, home, operator):
    assert launchdb.run("secrets", "rotate", "databasePassword").code == 2
    refused = launchdb.run("secrets", "rotate", "smtpPassword", "--password-stdin", stdin="hunter2-hunter2\n")
    assert (refused.code, "SMTP_HOST is not set" in refused.err) == (4, True)
    assert "hunter2" not in refused.out + refused.err
