"""Killed at every place, a rotation of the platform's own secrets ends as an undisturbed one, and nobody is locked out."""

from __future__ import annotations

import re

import psycopg
import pytest

from catalog import platform_secrets as catalogue
from catalog import secrets
from infra.backup import keys as backup_keys
from infra.errors import Refused
from infra.files import ensure_folder
from infra.secrets import master_keys, secretfiles
from infra.secrets.service_logins import ensure_service_logins
from infra.secrets.services import LOGINS, SERVICES
from infra.secrets.vault import Vault
from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.platform.retire_platform_secret import RetirePlatformSecret
from jobs.kinds.platform.rewrap_secrets import RewrapSecrets
from jobs.kinds.platform.rotate_platform_secret import RotatePlatformSecret
from jobs.projects.platform_secrets import ALL, ChosenPassword, keep_chosen
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import installation, pass_on, run_here, steps, write
from tests.crash.places import places, places_with
from tests.crash.test_maintenance import result

__all__ = ["installation"]
MADE = ["internalApiKey", "masterKey", "backupEncryptionKey"]  # the JWT secret goes the way of the internal key
SCOPES = 120


@pytest.fixture
def sealed(settings, installation):
    """Every secret of the platform, and what the master key protects."""
    for path in settings.secrets_folder.iterdir():
        path.unlink()
    secretfiles.ensure(settings.secrets_folder, settings.home / ".env")
    with installation.database.transaction() as tx:
        installation.vault.check_master_key(tx)
        for n in range(SCOPES):
            secrets.put(tx, installation.vault, f"scope {n}", "word", f"the word of {n}")
    return installation


@pytest.fixture
def mail_server(smtp):
    """A mail server that takes one password."""
    server = smtp.start(auth_required=True)
    server.environment["SMTP_USER"] = "launchdb"
    return server


def opens_everything(infra) -> None:
    with infra.database.autocommit() as tx:
        known = secrets.read_scopes(tx, infra.vault, [f"scope {n}" for n in range(SCOPES)])
        infra.vault.check_master_key(tx)
    assert {known[f"scope {n}"]["word"] for n in range(SCOPES)} == {f"the word of {n}" for n in range(SCOPES)}


def dotenv(settings) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (settings.home / ".env").read_text().splitlines())


def litter(settings) -> list[str]:
    return [path.name for path in settings.secrets_folder.iterdir() if re.match(r"\..*(job_|tmp)", path.name)]


def end_of_grace(infra):
    """Have the time of the old value be over; return the job that retires it."""
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE kind = 'platform.retire_secret'")
        return tx.value("SELECT id FROM jobs WHERE kind = 'platform.retire_secret' ORDER BY seq DESC LIMIT 1")


class Found:
    """A job that somebody else has written."""

    def __init__(self, id_):
        self.id = id_


def die_in_one_of_its_turns(settings, crash) -> None:
    codes = [attempt_in_a_process(settings, crash=crash)]
    while codes[-1] != EXIT_STATUS and len(codes) < 4:
        codes.append(attempt_in_a_process(settings, crash=crash))
    assert codes[-1] == EXIT_STATUS, "the crash point was not reached"


@pytest.mark.parametrize(("crash", "secret"), places_with(RotatePlatformSecret, MADE))
def test_a_killed_rotation_resumes_and_ends_the_same(crash, secret, settings, sealed):
    folder, file = settings.secrets_folder, ALL[secret].file
    old = secretfiles.current(folder, file)
    job = write(sealed, RotatePlatformSecret(secret, 3600))
    die_in_one_of_its_turns(settings, crash)
    assert old in {*secretfiles.read(folder, file), *backup_keys.backup_keys(folder).values()}, "nobody is locked out"
    opens_everything(sealed)
    secretfiles.check(folder)
    pass_on(sealed)
    run_here(sealed, job)
    new = secretfiles.current(folder, file)
    assert (new != old, dotenv(settings)[file], litter(settings)) == (True, new, [])
    assert (folder / file).stat().st_mode & 0o777 == 0o600
    assert {name: secretfiles.current(folder, name) for name in secretfiles.NAMES} == dotenv(settings)
    with sealed.database.autocommit() as tx:
        rotations = catalogue.newest(tx)
        assert (list(rotations), tx.value("SELECT count(*) FROM platform_rotations")) == ([secret], 1)
        assert tx.value("SELECT count(*) FROM data_keys WHERE master_key_id <> %s", (sealed.vault.newest,)) == 0
    opens_everything(sealed)
    if secret == "backupEncryptionKey":
        assert secretfiles.read(folder, file) == [new]
        assert {old, new} == set(backup_keys.backup_keys(folder).values()), "old sets stay readable"
        assert result(sealed, job) == {"secret": secret, "oldGoodUntil": None}
    else:
        assert secretfiles.read(folder, file) == [new, old]
        run_here(sealed, Found(end_of_grace(sealed)))
        assert secretfiles.read(folder, file) == [new]
        assert not (folder / f"{file}.previous").exists()
        opens_everything(sealed)
    if secret == "masterKey":
        assert master_keys.earlier_keys(folder) == [old], "backups of the platform from before need it"
        assert old not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert set(steps(sealed, job).values()) == {"succeeded"}


@pytest.mark.parametrize("point", ["", "generate_new_secret:after_act", "switch_to_new_secret:after_act"])
def test_a_login_s_password_is_another_for_postgres_and_for_its_service_alone(point, settings, sealed):
    folder, service, login = settings.secrets_folder, settings.home / "services" / "auth-service", "launchdb_auth"
    for name, given in SERVICES.items():
        if not given.everything:
            ensure_folder(settings.home / "services" / name)
    cluster, platform = sealed.databases.cluster, sealed.databases.platform
    ensure_service_logins(cluster, platform, folder, "launchdb-tests")
    old = {name: secretfiles.current(folder, file) for name, file in LOGINS.items()}
    job = write(sealed, RotatePlatformSecret("authDatabasePassword"))
    if point:
        assert attempt_in_a_process(settings, crash=f"platform.rotate_secret:{point}") == EXIT_STATUS
        pass_on(sealed)
    run_here(sealed, job)
    new = {name: secretfiles.current(folder, file) for name, file in LOGINS.items()}
    assert {name for name in LOGINS if new[name] != old[name]} == {login}
    assert (service / "pgpass").read_text() == f"*:*:*:{login}:{new[login]}\n"
    psycopg.connect(cluster.uri(platform, login, new[login])).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.uri(platform, login, old[login]))
    assert LOGINS[login] not in dotenv(settings)
    assert (litter(settings), result(sealed, job)) == ([], {"secret": "authDatabasePassword", "oldGoodUntil": None})


@pytest.mark.parametrize("crash", places(RewrapSecrets))
def test_a_killed_rewrapping_resumes_and_the_old_key_opens_nothing(crash, settings, sealed):
    folder = settings.secrets_folder
    old = secretfiles.current(folder, master_keys.NAME)
    job = write(sealed, RotatePlatformSecret("masterKey", 60))
    die_in_one_of_its_turns(settings, crash)
    opens_everything(sealed)
    pass_on(sealed)
    run_here(sealed, job)
    before = Vault(lambda: [old])
    with sealed.database.autocommit() as tx:
        for n in range(SCOPES):
            with pytest.raises(Refused, match="is not among the secrets"):
                secrets.read_all(tx, before, f"scope {n}")
        with pytest.raises(Refused):
            before.check_master_key(tx)
        told = tx.value("SELECT result FROM jobs WHERE kind = 'platform.rewrap_secrets'")
    assert told["rewrapped"] <= SCOPES + 1
    opens_everything(sealed)


@pytest.mark.parametrize(("crash", "secret"), places_with(RetirePlatformSecret, ["internalApiKey", "masterKey"]))
def test_a_killed_retirement_resumes_and_the_old_one_is_dead(secret, crash, settings, sealed):
    folder, file = settings.secrets_folder, ALL[secret].file
    run_here(sealed, write(sealed, RotatePlatformSecret(secret, 3600)))
    job = end_of_grace(sealed)
    assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
    pass_on(sealed)
    run_here(sealed, Found(job))
    assert len(secretfiles.read(folder, file)) == 1
    with sealed.database.autocommit() as tx:
        assert catalogue.newest(tx)[secret].retired_at is not None
    opens_everything(sealed)


def test_two_rotations_in_a_row_each_retire_their_own(settings, sealed):
    folder = settings.secrets_folder
    first = secretfiles.current(folder, "INTERNAL_API_KEY")
    run_here(sealed, write(sealed, RotatePlatformSecret("internalApiKey", 3600)))
    retire_first = end_of_grace(sealed)
    second = secretfiles.current(folder, "INTERNAL_API_KEY")
    with sealed.database.autocommit() as tx:
        later = "UPDATE jobs SET run_at = now() + '1 hour', claim_after = now() + '1 hour' WHERE id = %s"
        tx.execute(later, (retire_first,))
    run_here(sealed, write(sealed, RotatePlatformSecret("internalApiKey", 3600)))
    third = secretfiles.current(folder, "INTERNAL_API_KEY")
    assert secretfiles.read(folder, "INTERNAL_API_KEY") == [third, second, first]
    with sealed.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE id = %s", (retire_first,))
    run_here(sealed, Found(retire_first))
    assert secretfiles.read(folder, "INTERNAL_API_KEY") == [third, second]


def test_an_old_master_key_that_something_needs_is_not_retired(settings, sealed):
    folder = settings.secrets_folder
    old = secretfiles.current(folder, master_keys.NAME)
    run_here(sealed, write(sealed, RotatePlatformSecret("masterKey", 3600)))
    with sealed.database.autocommit() as tx:
        key = Vault(lambda: [old]).new_data_key("left over")
        tx.execute("INSERT INTO data_keys VALUES (%s, %s, %s)", ("left over", key.wrapped, key.master_key_id))
    job = end_of_grace(sealed)
    attempt_in_a_process(settings)
    with sealed.database.autocommit() as tx:
        row = tx.row("SELECT status, error FROM jobs WHERE id = %s", (job,))
    assert (row["status"], "1 data keys still need the old" in str(row["error"])) == ("failed", True)
    assert secretfiles.read(folder, master_keys.NAME)[1:] == [old]


def test_two_new_master_keys_in_a_row_each_retire_their_own(settings, sealed):
    folder = settings.secrets_folder
    first = secretfiles.current(folder, master_keys.NAME)
    run_here(sealed, write(sealed, RotatePlatformSecret("masterKey", 3600)))
    retire_first = end_of_grace(sealed)
    with sealed.database.autocommit() as tx:
        later = "UPDATE jobs SET run_at = now() + '1 hour', claim_after = now() + '1 hour' WHERE id = %s"
        tx.execute(later, (retire_first,))
    second = secretfiles.current(folder, master_keys.NAME)
    run_here(sealed, write(sealed, RotatePlatformSecret("masterKey", 3600)))
    third = secretfiles.current(folder, master_keys.NAME)
    assert secretfiles.read(folder, master_keys.NAME) == [third, second, first]
    with sealed.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE id = %s", (retire_first,))
    run_here(sealed, Found(retire_first))
    assert secretfiles.read(folder, master_keys.NAME) == [third, second]
    assert set(master_keys.earlier_keys(folder)) == {first, second}
    opens_everything(sealed)


def test_no_data_key_is_wrapped_by_a_master_key_that_is_being_retired(sealed, settings):
    """A process that read the old key just before the change, and stores what it wrapped just after."""
    keys = secretfiles.read(settings.secrets_folder, master_keys.NAME)
    old = Vault(lambda: keys)
    run_here(sealed, write(sealed, RotatePlatformSecret("masterKey", 60)))
    with sealed.database.autocommit() as tx:
        made = old.new_data_key("late")
        tx.execute(secrets.SQL.keep_data_key, {"scope": "late", "wrapped": made.wrapped, "key": made.master_key_id})
        assert tx.value("SELECT count(*) FROM data_keys WHERE scope = 'late'") == 0
        secrets.put(tx, sealed.vault, "late", "word", "kept all the same")
        assert secrets.read(tx, sealed.vault, "late", "word") == "kept all the same"


@pytest.mark.parametrize("crash", places(RotatePlatformSecret))
def test_a_killed_change_of_the_mail_password_resumes_and_keeps_no_copy(crash, settings, sealed, mail_server):
    with sealed.database.transaction() as tx:
        chosen = keep_chosen(tx, sealed.vault, ChosenPassword("the mail password", "operator@example.org"))
    job = write(sealed, RotatePlatformSecret("smtpPassword", 0, chosen))
    assert attempt_in_a_process(settings, crash=crash, **mail_server.environment) == EXIT_STATUS
    pass_on(sealed)
    assert attempt_in_a_process(settings, **mail_server.environment) == 0
    assert secretfiles.read(settings.secrets_folder, "SMTP_PASSWORD") == ["the mail password"]
    assert litter(settings) == []
    with sealed.database.autocommit() as tx:
        assert tx.value("SELECT status FROM jobs WHERE id = %s", (job.id,)) == "succeeded"
        assert tx.value("SELECT count(*) FROM secrets WHERE name = %s", (chosen,)) == 0
    # Twice only where it died before it could write down that the first was taken.
    assert 1 <= len(mail_server.sink.messages) <= 2


def test_a_mail_password_that_the_server_refuses_changes_nothing(settings, sealed, mail_server):
    (settings.secrets_folder / "SMTP_PASSWORD").write_text("the mail password\n")
    with sealed.database.transaction() as tx:
        chosen = keep_chosen(tx, sealed.vault, ChosenPassword("not the mail password", "operator@example.org"))
    job = write(sealed, RotatePlatformSecret("smtpPassword", 0, chosen))
    attempt_in_a_process(settings, **mail_server.environment)
    with sealed.database.autocommit() as tx:
        row = tx.row("SELECT status, error FROM jobs WHERE id = %s", (job.id,))
        assert tx.value("SELECT count(*) FROM secrets WHERE name = %s", (chosen,)) == 0
    assert row["status"] == "failed"
    assert "535" in str(row["error"])
    assert "not the mail" not in str(row["error"])
    assert (settings.secrets_folder / "SMTP_PASSWORD").read_text() == "the mail password\n"
    assert litter(settings) == []
