"""launchdb doctor: files that were damaged, opened to others or moved away are found and put right."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from config.settings import CHECKOUT
from infra import files
from infra.doctor import findings, folders, pooler_file
from infra.errors import Refused
from infra.host import home
from infra.pooler.pooler import PoolerEntry
from infra.pooler.pooler_files import PgBouncerFrame, render_configuration
from infra.secrets import secretfiles
from tests.infra.doctor.conftest import bad
from tests.install.conftest import git


def served(pool_size):
    """The file as the platform renders it, for one project."""
    frame = PgBouncerFrame(
        host="postgres",
        port="5432",
        platform=PoolerEntry("platform", 5, 0),
        listen_addr="*",
        listen_port="6432",
        socket_folder="/run/pgbouncer",
        userlist="/etc/userlist.txt",
        auth_user="launchdb_pooler",
        admin_user="launchdb_pooler_admin",
    )
    return render_configuration(frame, [PoolerEntry("proj_00000000000000aa", pool_size, 2)])


INI = served(4)
PROJECT = "proj_00000000000000aa"
# How a file is damaged, and what the finding says of it.
DAMAGE = {
    "emptied": ("", "has 0 lines"),
    "blank": ("\n\n", "has 2 lines"),
    "cut in a line": (INI[:-9], "is cut off"),
    "cut after a line": ("".join(INI.splitlines(keepends=True)[:-1]), "was cut off or changed by hand"),
    "cut in two": (INI[: INI.index("[databases]")], "lacks [databases]"),
    "without settings": (INI[INI.index("[databases]") :], "lacks [pgbouncer]"),
    "changed by hand": (INI.replace("transaction", "session"), "was cut off or changed by hand"),
    "garbage": ("\0\1\2 nothing\n", "cannot be read"),
    "doubled": (INI + "[pgbouncer]\n", "cannot be read"),
}


@pytest.fixture
def pooler(machine):
    """PgBouncer's folder with a whole file."""
    folder = machine.home / "pgbouncer"
    folder.mkdir()
    (folder / "pgbouncer.ini").write_text(INI)
    (folder / "pgbouncer.ini").chmod(0o640)
    return folder


def mended(site, name, found):
    check = findings.CHECKS[name]
    return [check.mend(site, one) for one in found if one.fixable]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_pooler_file_is_found_and_its_newest_whole_backup_put_back(machine, pooler, damage):
    text, said = DAMAGE[damage]
    for age, backup in enumerate((served(9), served(7), "", INI[:40])):
        path = pooler / f"pgbouncer.ini.backup-{10 - age}"
        path.write_text(backup)
        # The newest two are damaged themselves.
        os.utime(path, (time.time() - 100 + age, time.time() - 100 + age))
    (pooler / "pgbouncer.ini").write_text(text)
    site = machine.site()
    found = machine.look("pooler.config", site)
    assert bad(found)[""].status == "failure"
    assert said in found[0].evidence
    (done,) = mended(site, "pooler.config", found)
    assert "restored from pgbouncer.ini.backup-9" in done
    assert (pooler / "pgbouncer.ini").read_text() == served(7)
    assert (pooler / "pgbouncer.ini").stat().st_mode & 0o777 == 0o640
    assert bad(machine.look("pooler.config", site)) == {}


def test_without_a_whole_backup_the_fix_says_why_it_cannot(machine, pooler):
    (pooler / "pgbouncer.ini").write_text("")
    (pooler / "pgbouncer.ini.backup-1").write_text("[databases]\n")
    site = machine.site()
    with pytest.raises(findings.InfraError, match="none of the 1 backups"):
        mended(site, "pooler.config", machine.look("pooler.config", site))
    site.render = lambda: bool((pooler / "pgbouncer.ini").write_text(INI))
    assert "made anew from the catalogue" in mended(site, "pooler.config", machine.look("pooler.config", site))[0]


def test_the_file_names_the_projects_that_the_catalogue_has(machine, pooler):
    site = machine.site()
    for wanted, status in (({PROJECT}, "ok"), ({PROJECT, "proj_00000000000000bb"}, "failure"), (set(), "warning")):
        site.projects = lambda wanted=wanted: wanted
        found = {one.subject: one for one in machine.look("pooler.config", site)}
        assert found["projects"].status == status
        assert found["file"].status == "ok"


def test_a_missing_file_is_a_failure_where_there_is_a_pooler(machine):
    assert machine.look("pooler.config")[0].status == "info"
    url = "postgresql://pgbouncer@/pgbouncer"
    assert machine.look("pooler.config", LAUNCHDB_POOLER_URL=url)[0].status == "failure"
    assert pooler_file.file_faults(machine.home / "pgbouncer.ini") == ["pgbouncer.ini is not there"]


def test_files_that_others_may_read_are_found_and_closed(machine):
    for path, mode in (
        (".env", 0o644),
        ("secrets/LAUNCHDB_MASTER_KEY", 0o640),
        ("pgbouncer/userlist.txt", 0o644),
        ("backup/ssh/backup_key", 0o604),
        ("scripts/backup.sh", 0o644),
        ("postgres/init/10-roles.sh", 0o600),
    ):
        (machine.home / path).parent.mkdir(parents=True, exist_ok=True)
        (machine.home / path).touch()
        (machine.home / path).chmod(mode)
    (machine.home / "secrets").chmod(0o755)
    (machine.home / "operator.json").touch(mode=0o400)
    site = machine.site()
    found = bad(machine.look("permissions", site))
    assert {name: one.status for name, one in found.items()} == {
        ".env": "failure",
        "secrets": "failure",
        "secrets/LAUNCHDB_MASTER_KEY": "failure",
        "pgbouncer/userlist.txt": "failure",
        "backup/ssh/backup_key": "failure",
        "scripts/backup.sh": "warning",
        "postgres/init/10-roles.sh": "warning",
    }
    mended(site, "permissions", found.values())
    assert bad(machine.look("permissions", site)) == {}
    assert (machine.home / "scripts/backup.sh").stat().st_mode & 0o777 == 0o755
    assert (machine.home / "operator.json").stat().st_mode & 0o777 == 0o400, "stricter is as good"


def test_what_lies_behind_a_link_is_nobodys_to_be_mended(machine, tmp_path):
    """A service owns its folders; where root looks for files in them, it could have put another folder."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "passwd").touch(mode=0o644)
    (machine.home / "secrets").symlink_to(other)
    (machine.home / "backup").symlink_to(other)
    (other / "backup.sh").touch(mode=0o600)
    assert bad(machine.look("permissions", machine.site())) == {}


def test_a_checkout_that_is_the_home_has_the_modes_that_are_asked_for():
    """What the doctor mends there would otherwise be a change by hand, and no update would go on."""
    wanted = dict(folders.MODES)["scripts/*.sh"]
    shown = git(CHECKOUT, "ls-files", "--stage", "scripts/*.sh").splitlines()
    assert {int(line.split()[0], 8) & 0o777 for line in shown} == {wanted}


def test_weak_and_equal_secrets_are_failures(machine):
    site = machine.site()
    assert bad(machine.look("secrets.files", site))
    secretfiles.ensure(site.settings.secrets_folder, machine.home / ".env")
    assert bad(machine.look("secrets.files", site)) == {}
    (site.settings.secrets_folder / "POSTGREST_ADMIN_KEY").write_text("changeme")
    evidence = bad(machine.look("secrets.files", site))["POSTGREST_ADMIN_KEY"].evidence
    assert "weak or an example" in evidence
    assert "changeme" not in evidence


@pytest.mark.parametrize("said", ["", "relative/projects", "/no/such/folder", "/tmp/../tmp"])
def test_folders_that_the_manager_needs_are_made_and_env_corrected(machine, said):
    (machine.home / ".env").write_text(f"# kept\nHOST_CONFIG_DIR={said}\nHOST_SCRIPT_DIR=\nDOMAIN=x.example.org\n")
    (machine.home / ".env").chmod(0o600)
    site = machine.site()
    found = bad(machine.look("manager.folders", site))
    assert set(found) == {"HOST_SCRIPT_DIR", "HOST_CONFIG_DIR"}
    assert all(one.fixable for one in found.values())
    mended(site, "manager.folders", found.values())
    assert bad(machine.look("manager.folders", site)) == {}
    assert (machine.home / ".env").read_text() == (
        f"# kept\nHOST_CONFIG_DIR={machine.home}/postgrest/projects\n"
        f"HOST_SCRIPT_DIR={machine.home}/scripts\nDOMAIN=x.example.org\n"
    )
    assert (machine.home / ".env").stat().st_mode & 0o777 == 0o600
    assert (machine.home / "postgrest/projects").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_the_operator_chose_stays(machine, tmp_path):
    chosen = tmp_path / "elsewhere"
    chosen.mkdir()
    (machine.home / "scripts").mkdir()
    (machine.home / ".env").write_text(f"HOST_CONFIG_DIR={chosen}\nHOST_SCRIPT_DIR={machine.home}/scripts\n")
    assert bad(machine.look("manager.folders")) == {}


def test_a_finding_holds_no_secret(machine, pooler):
    (pooler / "pgbouncer.ini").write_text("[databases]\nx = host=h password=hunter2hunter2 \0\n[databases]\n")
    assert "hunter2" not in "".join(one.evidence for one in machine.look("pooler.config"))


def test_a_mode_is_set_of_no_link_and_behind_none(tmp_path):
    """A service may put a link there after the look."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "backup.sh").touch(0o600)
    files.restrict(tmp_path / "own" / "backup.sh", 0o755)
    assert (tmp_path / "own" / "backup.sh").stat().st_mode & 0o777 == 0o755
    (tmp_path / "another").touch(0o600)
    (tmp_path / "own" / "link.sh").symlink_to(tmp_path / "another")
    (tmp_path / "folder").symlink_to(tmp_path / "own")
    for path in (tmp_path / "own" / "link.sh", tmp_path / "folder" / "backup.sh"):
        with pytest.raises(Refused, match="is a link"):
            files.restrict(path, 0o700)
    assert (tmp_path / "another").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", ["log", "run", "run/caddy", "services", "services/auth-service", "backups"])
def test_a_link_in_the_place_of_what_containers_mount_is_a_failure(machine, tmp_path, place):
    for folder in home.FOLDERS:
        (machine.home / folder.path).mkdir(parents=True, exist_ok=True)
    assert bad(machine.look("mounts", machine.site())) == {}
    shutil.rmtree(machine.home / place)
    (machine.home / place).symlink_to(tmp_path)
    assert set(bad(machine.look("mounts", machine.site()))) == {place}
