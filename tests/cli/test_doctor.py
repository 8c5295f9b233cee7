"""launchdb doctor as a program: what it prints, what it mends, how it ends."""

from __future__ import annotations

import pytest

from tests.fixtures.projects import add_project
from tests.infra.doctor.conftest import Machine


@pytest.fixture
def machine(launchdb, home, tmp_path):
    """A sound machine in a folder, which the command looks at."""
    made = Machine(tmp_path / "root", home)
    launchdb.environment["LAUNCHDB_HOST_ROOT"] = str(made.root)
    return made


def test_host_is_looked_at_before_anything_is_installed(launchdb, machine, tmp_path):
    for name in ("LAUNCHDB_DATABASE_URL", "LAUNCHDB_REDIS_URL"):
        del launchdb.environment[name]
    launchdb.environment["LAUNCHDB_HOME"] = str(tmp_path / "nothing")
    machine.write("etc/os-release", "ID=arch\n")
    machine.write("etc/ssh/sshd_config.d/50-keys.conf", "")
    told = launchdb.run("doctor", "host", "--json", timeout=60)
    found = {(one["check"], one["subject"]): one for one in told.json["findings"]}
    assert told.code == 1
    assert found["host.os", ""]["status"] == "warning"
    assert found["host.ssh", "passwords"]["status"] == "failure"
    assert found["host.firewall", ""]["status"] == "ok"
    assert {name.partition(".")[0] for name, _ in found} == {"host"}
    shown = launchdb.run("doctor", "host.ssh")
    assert shown.code == 1
    assert "SSH takes passwords" in shown.out
    assert "PasswordAuthentication no" in shown.err


def test_one_check_is_mended_and_looked_at_again(launchdb, machine, home):
    (home / "secrets/INTERNAL_API_KEY").chmod(0o644)
    assert launchdb.run("doctor", "permissions").code == 1
    told = launchdb.run("doctor", "permissions", "--fix")
    assert told.code == 0, told.err
    assert "secrets/INTERNAL_API_KEY is 600 now" in told.err
    assert "ok" in told.out
    assert launchdb.run("doctor", "permissions", "--json").json["findings"][0]["status"] == "ok"


def test_what_takes_a_person_is_said_and_stays_a_failure(launchdb, machine, home):
    (home / "secrets/POSTGREST_ADMIN_KEY").write_text("changeme")
    told = launchdb.run("doctor", "secrets.files", "--fix")
    assert told.code == 1
    assert "not mended, since it takes a person" in told.err
    assert "changeme" not in told.out + told.err


def test_the_platform_is_asked_too_and_jobs_mend_what_they_can(launchdb, machine, home, operator, infra):
    project = add_project(infra, status="active")
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status_reason = 'not as it should be: x' WHERE id = %s", (project,))
    told = launchdb.run("doctor", "projects", "--json")
    assert [(one["subject"], one["fixable"]) for one in told.json["findings"]] == [(project, True)]
    own = launchdb.run("doctor", "platform", "--json").json["findings"]
    platform = {"secrets", "certificate", "workers", "projects", "registration", "disk", "watchdog", "claims"}
    assert {one["check"] for one in own} == platform
    everything = launchdb.run("doctor", "--json", timeout=60).json["findings"]
    assert {one["check"] for one in everything} == platform | {"permissions", "secrets.files"}


def test_an_unknown_check_is_a_usage_error_that_names_those_there_are(launchdb, machine):
    told = launchdb.run("doctor", "nonsense")
    assert told.code == 2
    assert "pooler.config" in told.err


def test_a_platform_that_cannot_be_asked_is_a_finding(launchdb, machine, home):
    launchdb.environment["LAUNCHDB_DATABASE_URL"] = "postgresql://postgres@127.0.0.1:1/nowhere"
    told = launchdb.run("doctor", "--json", timeout=90)
    assert told.code == 1
    assert any(one["check"] == "platform" and one["status"] == "failure" for one in told.json["findings"])
