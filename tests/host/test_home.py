"""`launchdb init`: a home with its folders, `.env` and secrets; the second time nothing is overwritten."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from config.installation import is_containers_home, parse, read, settings_of
from config.settings import CHECKOUT, SettingsError, load
from infra import files
from infra.errors import Refused
from infra.host import home as homes
from infra.host.compose import Compose
from infra.host.home import LAUNCHDB, PGBOUNCER, prepare
from infra.secrets import secretfiles
from scripts.stack.stack import FILE, Stack
from scripts.stack.start import bring_up

SERVER = {"DOMAIN": "db.launchdb.test", "ACME_EMAIL": "ops@launchdb.test"}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="folders are given to other accounts")


@pytest.fixture
def home(folder):
    return folder / "home"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def made(home, given=SERVER):
    return prepare(home, given, copies=home.parent)


@needs_root
def test_a_new_home_has_every_secret_once_in_a_file_once_in_dotenv_and_once_in_a_copy(home):
    done = made(home)
    lines = parse((home / ".env").read_text())
    copy = parse(done.copy.read_text())
    for name in secretfiles.NAMES:
        value = (home / "secrets" / name).read_text().strip()
        assert lines[name] == copy[name] == value
        assert secretfiles.entropy_bits(value) >= secretfiles.ENOUGH_BITS
    assert sorted(done.secrets) == sorted(secretfiles.NAMES)
    assert mode(home / ".env") == 0o600
    assert mode(done.copy) == 0o400
    assert done.copy.name.startswith("launchdb-secrets-20")


@needs_root
def test_a_second_run_overwrites_nothing(home):
    first = made(home)
    before = {path: path.read_text() for path in [home / ".env", first.copy, *(home / "secrets").iterdir()]}
    second = made(home, {})
    assert (second.secrets, second.copy, second.changed) == ([], None, [])
    assert {path: path.read_text() for path in before} == before


@needs_root
def test_an_object_store_s_secret_that_stands_in_dotenv_becomes_a_file_for_storage(home):
    made(home, {**SERVER, "FILES_S3_SECRET_KEY": "of the store"})
    copies = [home / folder / secretfiles.STORE_SECRET for folder in ("secrets", "services/storage-service")]
    assert {(path.read_text(), mode(path), path.stat().st_uid) for path in copies} == {
        ("of the store\n", 0o600, LAUNCHDB)
    }
    text = secretfiles.with_lines((home / ".env").read_text(), {"FILES_S3_SECRET_KEY": "another"})
    files.replace(home / ".env", text)
    assert homes.complete(home, home / "postgrest" / "projects")
    assert {path.read_text() for path in copies} == {"another\n"}


@needs_root
def test_folders_belong_to_the_accounts_of_the_containers_and_get_their_modes_again(home):
    made(home)
    (home / "pgbouncer").chmod(0o777)
    os.chown(home / "run" / "pgbouncer", 0, 0)
    made(home)
    assert (mode(home / "pgbouncer"), (home / "pgbouncer").stat().st_gid) == (0o2750, PGBOUNCER)
    assert (home / "run" / "pgbouncer").stat().st_uid == PGBOUNCER
    assert (mode(home / "secrets"), (home / "secrets").stat().st_uid) == (0o700, LAUNCHDB)
    # Services replace `.env`; what root laid into the home is not theirs to replace.
    assert (mode(home), home.stat().st_uid, home.stat().st_gid) == (0o1771, 0, LAUNCHDB)


@needs_root
def test_secrets_that_somebody_wrote_into_dotenv_become_the_files(home):
    chosen = secretfiles.generate(secretfiles.KEY)
    home.mkdir()
    (home / ".env").write_text(f"PLATFORM_JWT_SECRET={chosen}\nLAUNCHDB_MASTER_KEY=CHANGE_ME\n")
    (home / ".env").chmod(0o600)
    (home / ".env.secrets").write_text("left by the guide's own commands")
    made(home)
    assert (home / "secrets" / "PLATFORM_JWT_SECRET").read_text().strip() == chosen
    assert (home / "secrets" / "LAUNCHDB_MASTER_KEY").read_text().strip() != "CHANGE_ME"
    assert not (home / ".env.secrets").exists()


@needs_root
def test_examples_that_nobody_changed_are_refused_in_one_list_and_nothing_is_made(home):
    with pytest.raises(Refused, match=r"DOMAIN is localhost.*ACME_EMAIL is missing"):
        made(home, {"DOMAIN": "localhost", "ACME_EMAIL": "you@your-domain.com", "LAUNCHDB_TLS": "auto"})
    assert not (home / ".env").exists()
    assert not (home / "secrets").exists()


@needs_root
def test_a_path_that_is_too_long_for_a_socket_is_refused(folder):
    with pytest.raises(Refused, match="too long"):
        made(folder / ("x" * 80))


@needs_root
def test_without_a_name_the_installation_is_for_this_machine_alone(home):
    made(home, {})
    settings = settings_of(home)
    assert (settings.domain, settings.tls) == ("localhost", "internal")
    assert settings.base_url == "https://localhost"


@needs_root
def test_a_dotenv_that_others_can_read_is_refused(home):
    made(home)
    (home / ".env").chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        made(home)
        pytest.fail("Secrets that others can read are not gone on with")


@needs_root
def test_what_the_caller_sets_goes_into_dotenv_but_never_over_a_secret(home):
    made(home)
    before = (home / "secrets" / "INTERNAL_API_KEY").read_text()
    done = made(home, {"LAUNCHDB_HTTPS_PORT": "8443", "INTERNAL_API_KEY": "f" * 64})
    assert settings_of(home).base_url == "https://db.launchdb.test:8443"
    assert (home / "secrets" / "INTERNAL_API_KEY").read_text() == before
    assert done.changed == ["LAUNCHDB_HTTPS_PORT"]


def test_dotenv_takes_values_as_they_are():
    found = parse("A=x/y+z==\n# B=no\nexport C='with space'\n\nD=\"a=b\"\nE=\nnonsense\n")
    assert found == {"A": "x/y+z==", "C": "with space", "D": "a=b", "E": ""}


def test_an_embedded_home_is_no_installation_in_containers(folder):
    assert not is_containers_home(folder)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "DOMAIN is missing; HOST_SCRIPT_DIR is missing; HOST_CONFIG_DIR is missing; ACME_EMAIL is missing"),
        ({"DOMAIN": "your-domain.com", "ACME_EMAIL": "ops@launchdb.test"}, "DOMAIN is an example"),
        ({"DOMAIN": "localhost"}, "no authority certifies"),
        ({"HOST_CONFIG_DIR": "relative/path"}, "HOST_CONFIG_DIR: .*absolute"),
    ],
)
def test_production_names_everything_that_it_lacks(given, said):
    with pytest.raises(SettingsError, match=said):
        load({"LAUNCHDB_ENV": "production", "LAUNCHDB_RUNTIME": "broker", **given}, recall=False)


def test_the_copy_of_today_is_never_written_over(folder):
    first = homes.write_secrets_copy(folder, {"A": "1"})
    second = homes.write_secrets_copy(folder, {"A": "2"})
    assert first != second
    assert "A=1" in first.read_text()


@needs_root
@pytest.mark.parametrize("again", [made, lambda home: homes.complete(home, home / "postgrest" / "projects")])
@pytest.mark.parametrize("place", ["log", "postgrest", "run/redis", "secrets", "services/auth-service"])
def test_a_link_that_a_service_put_in_the_place_of_its_folder_is_not_followed(home, place, again):
    made(home)
    elsewhere = home.parent / "elsewhere"
    (elsewhere / "projects").mkdir(parents=True)
    shutil.rmtree(home / place)
    (home / place).symlink_to(elsewhere)
    with pytest.raises(Refused, match="is a link"):
        again(home)
        pytest.fail("No link is followed that a service has put in the place of its folder")
    assert {(path.stat().st_uid, mode(path)) for path in (elsewhere, elsewhere / "projects")} == {(0, 0o755)}


@needs_root
def test_a_home_of_a_version_before_gets_what_containers_mount_and_nothing_else_changes(home):
    made(home)
    before = {path: path.read_text() for path in (home / "secrets").iterdir() if path.name in secretfiles.NAMES}
    for name in ("services", "run/api", "exports", "imports"):
        shutil.rmtree(home / name)
    for name in (*secretfiles.OWN, "pgpass"):
        (home / "secrets" / name).unlink()
    homes.complete(home, home / "postgrest" / "projects")
    assert {path: path.read_text() for path in before} == before
    assert (home / "services").stat().st_uid == 0, "no service may lay a link in the place of another's folder"
    assert ":launchdb_auth:" in (home / "services" / "auth-service" / "pgpass").read_text()
    for path in (home / "services").rglob("*"):
        assert path.stat().st_uid == LAUNCHDB
    assert (home / "secrets" / "AUTH_DATABASE_PASSWORD").stat().st_uid == LAUNCHDB
    password = (home / "secrets" / "AUTH_DATABASE_PASSWORD").read_text()
    homes.complete(home, home / "postgrest" / "projects")
    assert (home / "secrets" / "AUTH_DATABASE_PASSWORD").read_text() == password


@needs_root
def test_nothing_is_started_while_others_can_read_dotenv(home):
    made(home)
    (home / ".env").chmod(0o640)
    with pytest.raises(Refused, match="can be read by others"):
        bring_up(Stack(home, settings_of(home), Compose(("docker", "compose"), CHECKOUT / FILE, home / ".env")), print)


@needs_root
def test_a_dotenv_that_leads_elsewhere_is_not_read(home):
    made(home)
    other = home.parent / "other"
    other.write_text("PRIVATE=1\n")
    other.chmod(0o600)
    (home / ".env").unlink()
    (home / ".env").symlink_to(other)
    with pytest.raises(Refused):
        made(home)
    assert (home / ".env").is_symlink()


@needs_root
def test_a_folder_of_configurations_beside_the_home_is_made_and_nobodys_is_taken(home):
    chosen = home.parent / "configurations"
    made(home, {**SERVER, "HOST_CONFIG_DIR": str(chosen)})
    assert (chosen.stat().st_uid, mode(chosen)) == (LAUNCHDB, 0o700)
    made(home, {})
    assert settings_of(home).instances_folder == chosen
    others = home.parent / "others"
    others.mkdir()
    (others / "file").touch()
    with pytest.raises(Refused, match="somebody else's files"):
        made(home, {"HOST_CONFIG_DIR": str(others)})
    assert others.stat().st_uid == 0
    deeper = home / "data" / "configurations"
    made(home, {"HOST_CONFIG_DIR": str(deeper)})
    assert (mode(deeper.parent), mode(deeper)) == (0o755, 0o700), "who is to use it gets there"


@needs_root
@pytest.mark.parametrize("exists", [True, False])
def test_no_folder_that_a_service_has_named_is_given_to_it(home, exists):
    """Root's programs are looked for in some that are empty."""
    made(home)
    named = home.parent / "programs"
    if exists:
        named.mkdir()
    text = secretfiles.with_lines((home / ".env").read_text(), {"HOST_CONFIG_DIR": str(named)})
    files.replace(home / ".env", text, owner=(LAUNCHDB, LAUNCHDB))
    with pytest.raises(Refused, match="say so yourself"):
        made(home, {})
        pytest.fail("No folder is given to a service because that service has named it")
    assert named.exists() == exists
    assert not exists or named.stat().st_uid == 0


@needs_root
def test_nobody_waits_for_a_pipe_in_the_place_of_dotenv(home):
    made(home)
    (home / ".env").unlink()
    os.mkfifo(home / ".env", 0o600)
    with pytest.raises(Refused, match="is no file"):
        made(home)
    assert read(home) == {}


def test_a_dotenv_that_is_no_text_is_refused_by_name(home):
    home.mkdir()
    (home / ".env").write_bytes(b"DOMAIN=db.example.org\n\xff\xfe\n")
    (home / ".env").chmod(0o600)
    with pytest.raises(Refused, match=r"\.env is not text in UTF-8"):
        made(home)


@needs_root
@pytest.mark.parametrize("name", ["with space", "a:b", "a%41", "a$b", "ä"])
def test_a_path_that_a_mount_or_a_url_cannot_bear_is_refused_before_anything_is_made(folder, name):
    with pytest.raises(Refused, match="LAUNCHDB_HOME may have"):
        made(folder / name)
    assert not (folder / name / "secrets").exists()


@needs_root
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"DOMAIN": "https://db.launchdb.test"}, "DOMAIN is a name alone"),
        ({"LAUNCHDB_HTTP_PORT": "443"}, "are both 443"),
    ],
)
def test_what_nobody_can_be_reached_by_is_refused_before_anything_is_made(home, given, said):
    with pytest.raises(Refused, match=said):
        made(home, {"LAUNCHDB_TLS": "internal", **given})
    assert not (home / "secrets").exists()
