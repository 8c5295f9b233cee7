"""scripts/install: what it lays, what it leaves, and that it may be run again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest

from infra.doctor.engine import LOG_FILES, LOG_SIZE
from tests.install.conftest import CHECKOUT, INSTALL, git

OURS = {
    "log-driver": "json-file",
    "log-opts": {"max-size": LOG_SIZE, "max-file": LOG_FILES},
    "storage-driver": "overlay2",
    "live-restore": True,
}
SYSTEMD = "etc/systemd/system"
GUIDE = (
    "postgres/init",
    "pgbouncer",
    "scripts",
    "postgrest/projects",
    "platform-api/config",
    "caddy",
    "backup/ssh",
)
DAEMON = "etc/docker/daemon.json"


@pytest.fixture
def linter():
    """shellcheck; in CI it must be there."""
    found = shutil.which("shellcheck")
    if found is None and os.environ.get("CI") != "true":
        pytest.skip("shellcheck is not installed")
    return found or "shellcheck"


def wrapper() -> str:
    """The command as the installer holds it."""
    return INSTALL.read_text().split("<<'WRAPPER'\n")[1].split("\nWRAPPER\n")[0] + "\n"


def test_the_installer_and_the_command_it_writes_are_sound_posix_sh(linter):
    for options, text in (([], INSTALL.read_text()), (["-s", "sh"], wrapper())):
        done = subprocess.run([linter, *options, "-"], input=text, capture_output=True, text=True, check=False)
        assert done.stdout == ""
    assert INSTALL.read_text().startswith("#!/bin/sh\n")
    assert os.access(INSTALL, os.X_OK)


def test_a_rehearsal_says_everything_and_changes_nothing(server, repository):
    server.write(DAEMON, '{"data-root": "/srv"}')
    before = server.picture()
    told = server.install("--dry-run", "--git", str(repository))
    assert told.code == 0, told.err
    assert server.picture() == before
    would = "\n".join(told.lines("would"))
    for path in (f"/{DAEMON}", "/usr/local/bin/launchdb", "/etc/logrotate.d/launchdb-backup", *GUIDE):
        assert path in would
    assert told.lines("doing") == []
    assert "nothing was changed" in told.out


def test_a_second_run_finds_everything_so(server, repository):
    first = server.install("--git", str(repository))
    assert first.code == 0, first.err
    before = server.picture()
    second = server.install("--git", str(repository))
    assert second.code == 0, second.err
    assert second.lines("doing") == []
    assert "Nothing had to be changed." in second.out
    assert server.picture() == before


def test_the_folders_of_the_guide_are_there_and_belong_to_the_containers_accounts(server, repository):
    assert server.install("--git", str(repository)).code == 0
    home = server.path("opt/launchdb")
    assert [name for name in GUIDE if not (home / name).is_dir()] == []
    assert home.stat().st_mode & 0o7777 == 0o1771
    assert (home / "pgbouncer").stat().st_mode & 0o7777 == 0o2750
    assert (home / "postgrest/projects").stat().st_mode & 0o7777 == 0o700
    if os.geteuid() == 0:
        assert (home.stat().st_uid, home.stat().st_gid) == (0, 10001)
        assert ((home / "pgbouncer").stat().st_uid, (home / "pgbouncer").stat().st_gid) == (10001, 10002)


@pytest.mark.parametrize("place", ["caddy", "postgrest"])
def test_a_link_in_the_place_of_a_folder_is_refused_and_what_it_leads_to_is_left_alone(server, repository, place):
    assert server.install("--git", str(repository)).code == 0
    other = server.path("srv/other")
    (other / "projects").mkdir(parents=True)
    shutil.rmtree(server.path(f"opt/launchdb/{place}"))
    server.path(f"opt/launchdb/{place}").symlink_to(other)
    before = [(path.stat().st_uid, path.stat().st_mode) for path in (other, other / "projects")]
    told = server.install("--git", str(repository))
    assert told.code == 1
    assert f"{place} is a link; remove it" in told.err
    assert [(path.stat().st_uid, path.stat().st_mode) for path in (other, other / "projects")] == before


def test_it_installs_over_the_folders_that_the_guide_makes_first(server, repository):
    for name in GUIDE:
        server.path(f"opt/launchdb/{name}").mkdir(parents=True)
    server.write("opt/launchdb/pgbouncer/pgbouncer.ini", "mine")
    server.write("opt/launchdb/.env", "DOMAIN=api.example.org\n")
    assert server.install("--git", str(repository)).code == 0
    home = server.path("opt/launchdb")
    assert (home / "pyproject.toml").read_text() == '[project]\nversion = "0.2.0"\n'
    assert (home / "pgbouncer/pgbouncer.ini").read_text() == "mine"
    assert (home / ".env").read_text() == "DOMAIN=api.example.org\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to another account")
def test_a_repository_that_a_service_has_put_into_the_home_is_not_used(server, repository):
    git(repository, "clone", "-q", str(repository), str(server.path("opt/launchdb")))
    os.chown(server.path("opt/launchdb/.git"), 10001, 10001)
    told = server.install("--git", str(repository))
    assert told.code == 1
    assert ".git belongs to a service" in told.err


def test_a_tag_is_checked_out_and_a_branch_brings_it_up_to_date(server, repository):
    home = server.path("opt/launchdb")
    for ref, version in (("v0.1.0", "0.1.0"), ("main", "0.2.0"), ("v0.1.0", "0.1.0")):
        told = server.install("--git", str(repository), "--ref", ref)
        assert told.code == 0, told.err
        assert version in (home / "pyproject.toml").read_text()
        assert git(home, "remote", "get-url", "origin") == str(repository), "where updates come from"
    assert server.install("--git", str(repository), "--ref", "v9").code == 1


def test_what_was_changed_by_hand_is_not_overwritten(server, repository):
    assert server.install("--git", str(repository), "--ref", "v0.1.0").code == 0
    server.write("opt/launchdb/pyproject.toml", "mine")
    told = server.install("--git", str(repository))
    assert told.code == 1
    assert "changed by hand" in told.err
    assert server.path("opt/launchdb/pyproject.toml").read_text() == "mine"


@pytest.fixture
def release(repository, tmp_path):
    """A release's tarball and its sum."""
    path = tmp_path / "launchdb-0.1.0.tar.gz"
    git(repository, "archive", "--format=tar.gz", "--prefix=launchdb-0.1.0/", "-o", str(path), "v0.1.0")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_tarball_is_unpacked_once_its_sum_fits_and_not_again(server, release):
    path, digest = release
    told = server.install("--archive", str(path), "--sha256", digest)
    assert told.code == 0, told.err
    assert "0.1.0" in server.path("opt/launchdb/pyproject.toml").read_text()
    path.unlink()
    again = server.install("--archive", str(path), "--sha256", digest)
    assert again.code == 0, again.err
    assert again.lines("doing") == []


@pytest.mark.parametrize("digest", ["0" * 64, "", "nonsense"])
def test_a_tarball_with_another_sum_or_none_is_refused(server, release, digest):
    told = server.install("--archive", str(release[0]), "--sha256", digest)
    assert told.code == 1
    assert "nothing was unpacked" in told.err or "checksum" in told.err
    assert not server.path("opt/launchdb/pyproject.toml").exists()


def test_a_tarball_of_something_else_is_refused(server, tmp_path):
    path = tmp_path / "other.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "other/file")
    told = server.install("--archive", str(path), "--sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert told.code == 1
    assert "is no release of LaunchDB" in told.err
    assert not server.path("opt/launchdb/file").exists()


def test_docker_is_told_to_end_its_logs(server, repository):
    assert server.install("--git", str(repository)).code == 0
    assert json.loads(server.path(DAEMON).read_text()) == OURS


def test_what_docker_was_told_before_stays(server, repository):
    before = {"data-root": "/srv/docker", "log-driver": "journald", "log-opts": {"labels": "a"}, "dns": ["10.0.0.1"]}
    server.write(DAEMON, json.dumps(before))
    assert server.install("--git", str(repository)).code == 0
    assert json.loads(server.path(DAEMON).read_text()) == {
        **before,
        **OURS,
        "log-opts": {"labels": "a", **OURS["log-opts"]},
    }
    assert json.loads(server.path(f"{DAEMON}.before-launchdb").read_text()) == before


def test_a_storage_driver_that_was_chosen_stays_since_images_lie_in_it(server, repository):
    server.write(DAEMON, '{"storage-driver": "zfs"}')
    told = server.install("--git", str(repository))
    assert "storage-driver zfs" in told.err
    assert json.loads(server.path(DAEMON).read_text())["storage-driver"] == "zfs"


@pytest.mark.parametrize(
    ("told", "option", "kept"),
    [({"live-restore": False}, (), False), ({}, ("--without-live-restore",), None), ({}, (), True)],
)
def test_containers_outlive_docker_unless_somebody_has_said_otherwise(server, repository, told, option, kept):
    server.write(DAEMON, json.dumps({"dns": ["10.0.0.1"], **told}))
    assert server.install("--git", str(repository), *option).code == 0
    assert json.loads(server.path(DAEMON).read_text()).get("live-restore") is kept


def test_a_new_file_for_docker_says_nothing_of_it_where_that_is_declined(server, repository):
    assert server.install("--git", str(repository), "--without-live-restore").code == 0
    assert json.loads(server.path(DAEMON).read_text()) == {name: OURS[name] for name in OURS if name != "live-restore"}


def test_systemd_starts_the_installation_at_boot_and_with_docker_and_looks_each_minute(server, repository):
    assert server.install("--git", str(repository), "--home", "/srv/ldb").code == 0
    service = server.path(f"{SYSTEMD}/launchdb.service").read_text()
    assert "ExecStart=/srv/ldb/scripts/mend\n" in service
    assert "LAUNCHDB_HOME=/srv/ldb" in service
    events = server.path(f"{SYSTEMD}/launchdb-events.service").read_text()
    assert "ExecStart=/srv/ldb/scripts/mend --follow\n" in events
    assert "PartOf=launchdb.timer\n" in events, "one command stops both"
    assert "OnUnitInactiveSec=60s" in server.path(f"{SYSTEMD}/launchdb.timer").read_text()
    for target, unit in (
        ("multi-user.target", "launchdb.service"),
        ("docker.service", "launchdb.service"),
        ("timers.target", "launchdb.timer"),
        ("launchdb.timer", "launchdb-events.service"),
    ):
        assert server.path(f"{SYSTEMD}/{target}.wants/{unit}").resolve() == server.path(f"{SYSTEMD}/{unit}")
    verify = shutil.which("systemd-analyze")
    if verify:
        done = subprocess.run(
            [verify, "verify", server.path(f"{SYSTEMD}/launchdb.timer")], capture_output=True, check=False
        )
        assert b"launchdb" not in done.stderr.replace(b"/srv/ldb/scripts/mend is not executable", b""), done.stderr


def test_units_that_somebody_declines_are_not_laid(server, repository):
    told = server.install("--git", str(repository), "--without-units")
    assert "the units of systemd" in " ".join(told.lines("left"))
    assert not server.path(SYSTEMD).exists()


def test_settings_that_say_the_same_in_another_order_are_left_alone(server, repository):
    text = json.dumps(dict(reversed(OURS.items())), indent=8)
    server.write(DAEMON, text)
    assert server.install("--git", str(repository)).code == 0
    assert server.path(DAEMON).read_text() == text


def test_a_file_that_is_no_json_is_left_as_it_is(server, repository):
    server.write(DAEMON, '{"log-driver": ')
    told = server.install("--git", str(repository))
    assert told.code == 1
    assert "is no JSON" in told.err
    assert server.path(DAEMON).read_text() == '{"log-driver": '


def test_cron_is_a_fallback_that_somebody_has_to_ask_for(server, repository):
    line = "0 2 * * * root /usr/local/bin/launchdb backups create --all >>/var/log/launchdb-backup.log 2>&1"
    assert server.install("--git", str(repository)).code == 0
    assert f"\n# {line}\n" in server.path("etc/cron.d/launchdb-backup").read_text()
    assert server.install("--git", str(repository), "--cron").code == 0
    assert f"\n{line}\n" in server.path("etc/cron.d/launchdb-backup").read_text()
    assert "/var/log/launchdb-backup.log {" in server.path("etc/logrotate.d/launchdb-backup").read_text()


@pytest.mark.parametrize("system", ["centos 7", "rhel 9.3", "fedora 40", "arch "])
def test_another_system_is_untested_and_no_error(server, repository, system):
    name, version = system.split(" ")
    server.write("etc/os-release", f'ID={name}\nVERSION_ID="{version}"\n')
    told = server.install("--git", str(repository))
    assert told.code == 0, told.err
    assert "is untested" in told.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("--home",),
        ("--home", "relative"),
        ("--home", "/opt/a;reboot"),
        ("--home", "/opt/../etc"),
        ("--git", "--upload-pack=reboot"),
        ("--git", "x", "--archive", "y"),
    ],
)
def test_words_that_it_does_not_take_are_refused_before_anything_is_done(server, arguments):
    before = server.picture()
    told = server.install(*arguments)
    assert told.code == 1
    assert told.err.startswith("install: ")
    assert server.picture() == before


def test_the_command_is_the_programs_and_nothing_that_a_service_has_added_is_run(server, repository, tmp_path):
    home = tmp_path / "home"
    # Without --root the command would be installed on this machine.
    assert server.install("--git", str(repository), "--home", str(home)).code == 0
    command = server.path("usr/local/bin/launchdb")

    def run():
        environment = {"PATH": os.defpath, "DOCKER_HOST": "unix:///nowhere"}
        done = subprocess.run([command, "jobs"], capture_output=True, text=True, check=False, env=environment)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    assert "scripts is not there" in run()
    shutil.copytree(server.path(str(home)), home, symlinks=True)
    (home / ".venv/bin").mkdir(parents=True)
    (home / ".venv/bin/launchdb").write_text("#!/bin/sh\necho taken over\n")
    (home / ".venv/bin/launchdb").chmod(0o755)
    shutil.copy(home / ".venv/bin/launchdb", home / ".venv/bin/python")
    assert f"{home}/scripts/build-images makes it" in run()
    if os.geteuid() == 0:
        os.chown(home / "scripts/launchdb", 10001, 10001)
        assert "belongs to a service" in run()


def test_help_is_the_comment_at_its_head():
    done = subprocess.run([INSTALL, "--help"], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert "--archive FILE|URL --sha256 SUM" in done.stdout
    assert "set -eu" not in done.stdout
