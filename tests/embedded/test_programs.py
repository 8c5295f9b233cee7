"""Where the server programs come from, and what is said when they cannot run."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.settings import load
from infra.embedded import programs
from infra.embedded.accounts import reachable, service_account
from infra.errors import Refused
from infra.pipeline import Account, run


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def folder_of_programs(folder: Path, script: str) -> str:
    folder.mkdir(exist_ok=True)
    for name in ("postgres", "psql", "initdb"):
        program(folder / name, script)
    return str(folder)


def test_a_missing_system_library_is_named_with_its_package(tmp_path):
    script = "echo 'postgres: error while loading shared libraries: libxml2.so.2: cannot open' >&2; exit 127"
    settings = load({"LAUNCHDB_POSTGRES_BIN": folder_of_programs(tmp_path, script)})
    with pytest.raises(Refused, match=r"libxml2.so.2 is missing: .*apt-get install libxml2.*LAUNCHDB_POSTGRES_BIN"):
        programs.postgres_bin(settings, None)


def test_missing_time_zones_are_named_with_their_package(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "ZONES", tmp_path / "none")
    with pytest.raises(Refused, match="apt-get install tzdata"):
        programs.postgres_bin(load({}), None)


def test_a_server_too_old_is_refused(tmp_path):
    old = folder_of_programs(tmp_path, "echo 'postgres (PostgreSQL) 15.18 (Debian 15.18-1)'")
    with pytest.raises(Refused, match=r"15\.18.* needs Postgres 16 or newer"):
        programs.postgres_bin(load({"LAUNCHDB_POSTGRES_BIN": old}), None)


def test_a_folder_without_a_server_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(Refused, match="cannot be started: No such file or directory"):
        programs.postgres_bin(load({"LAUNCHDB_POSTGRES_BIN": str(tmp_path)}), None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a service account")
def test_several_starters_unpack_the_server_once_where_the_service_account_can_run_it(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "reachable", lambda path, _account: tmp_path in path.parents)
    account = service_account()
    assert isinstance(account, Account)
    settings = load({"LAUNCHDB_SERVICE_FOLDER": str(tmp_path / "service")})
    with ThreadPoolExecutor(4) as starters:
        found = list(starters.map(lambda _: programs.postgres_bin(settings, account), range(4)))
    assert set(found) == {found[0]}
    assert run([found[0] / "postgres", "--version"], timeout_seconds=10, account=account).startswith("postgres")
    assert [path.name for path in (tmp_path / "service").iterdir() if path.name.startswith(".postgresql")] == []


def test_a_closed_parent_folder_is_not_passable_for_another_account(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not reachable(closed / "inside", Account(54321, 54321))
    assert reachable(closed / "inside", None)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
