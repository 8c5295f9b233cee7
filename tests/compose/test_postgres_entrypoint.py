"""How the Postgres container keeps its rules for logins, also where a full disk lets nothing be written."""

from __future__ import annotations

import subprocess

import pytest

from config.settings import CHECKOUT

SCRIPT = CHECKOUT / "compose" / "images" / "postgres" / "entrypoint"


@pytest.fixture
def start(tmp_path):
    """Run the entrypoint on folders of the test's own; in the place of Postgres a program that ends."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "bin" / "postgres").chmod(0o755)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "pg_hba.conf").write_text("host all all all scram-sha-256\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")
    (tmp_path / "password").write_text("a password\n")
    script = (
        SCRIPT.read_text().replace("/etc/launchdb", f"{tmp_path}/etc").replace("/run/postgresql", f"{tmp_path}/run")
    )

    def run(limit=""):
        environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "PGDATA": f"{tmp_path}/data", "PGUSER": "postgres"}
        environment |= {"POSTGRES_PASSWORD_FILE": f"{tmp_path}/password", "PGPASSFILE": f"{tmp_path}/pgpass"}
        return subprocess.run(["sh", "-c", f"{limit}\n{script}"], env=environment, capture_output=True, check=False)

    return run


def test_rules_that_are_right_already_are_not_written_again(start, tmp_path):
    rules = tmp_path / "data" / "pg_hba.conf"
    assert start().returncode == 0
    assert rules.read_text() == (tmp_path / "etc" / "pg_hba.conf").read_text()
    first = rules.stat()
    assert start().returncode == 0
    assert (rules.stat().st_ino, rules.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_where_nothing_can_be_written_the_rules_before_stay_whole(start, tmp_path):
    rules = tmp_path / "data" / "pg_hba.conf"
    start()
    before = rules.read_text()
    (tmp_path / "etc" / "pg_hba.conf").write_text("host all all all scram-sha-256\n# newer\n")
    assert start("trap '' XFSZ; ulimit -f 0").returncode != 0
    assert rules.read_text() == before
    assert start().returncode == 0, "once there is room"
    assert "# newer" in rules.read_text()
