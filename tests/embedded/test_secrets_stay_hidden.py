"""Secrets are in the files made for them, and nowhere else: no command line, environment, log, row or statement."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infra.embedded import launch
from infra.embedded.postgres import leftover_server
from tests.embedded.test_up import installation, launchdb

__all__ = ["installation"]
# The files whose purpose it is to hold secrets, all of them closed to others.
MEANT = ("secrets/", ".env", "operator.json", "instances/", "auth/", "storage-projects/")
EVERY_SECONDS = 0.005
LOOKS = 100


def processes() -> list[str]:
    return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]


class Watch:
    """Notes the command lines and environments of all processes that begin while it runs."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._looked: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._looked.update(dict.fromkeys(processes(), LOOKS))
        self._thread.start()
        return self

    def __exit__(self, *_ended):
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            for pid in processes():
                # A process may become another program, so that one look is not enough.
                if self._looked[pid] < LOOKS:
                    self._looked[pid] += 1
                    for part in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            self.seen.add(Path(f"/proc/{pid}/{part}").read_bytes())


def canaries(home: Path) -> set[bytes]:
    found = {path.read_text().strip() for path in (home / "secrets").iterdir() if path.name.isupper()}
    operator = json.loads((home / "operator.json").read_text())
    found |= {operator["password"], operator["serviceRoleKey"], operator["anonKey"]}
    found.add(str(conninfo_to_dict(operator["databaseUrl"])["password"]))
    for configuration in home.glob("instances/*/data-api.conf"):
        text = configuration.read_text()
        found |= set(re.findall(r'jwt-secret = "([^"]+)"', text)) | set(re.findall(r"://[^:]+:([^@]+)@", text))
    assert len(found) > 12
    assert min(map(len, found)) > 20
    return {secret.encode() for secret in found}


def assert_none(found: set[bytes], where: str, content: bytes) -> None:
    assert not [secret[:4] for secret in found if secret in content], f"a secret is in {where}"


@pytest.fixture
def eventful(installation):
    """An installation that started, made projects, and met a fault on the way."""
    with Watch() as watch:
        assert launchdb(installation, "up", "--detach").returncode == 0
        assert launchdb(installation, "projects", "create", "shop", "--no-wait").returncode == 0
        os.kill(leftover_server(installation.path / "postgres" / "data"), signal.SIGKILL)
        # Postgres comes back: one of these finds it there.
        assert any(launchdb(installation, "projects", "create", f"more{n}").returncode == 0 for n in range(20))
    return installation, watch


def test_no_secret_is_outside_the_files_meant_for_it(eventful):
    home, watch = eventful
    found = canaries(home.path)
    assert len(watch.seen) > 10
    for content in watch.seen:
        assert_none(found, "a command line or environment", content)

    with psycopg.connect(home.settings.database_url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT relnamespace::regnamespace::text, relname FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
        ).fetchall()
        assert len(tables) > 10
        for name in [*tables, ("pg_catalog", "pg_stat_activity"), ("pg_catalog", "pg_db_role_setting")]:
            query = sql.SQL("SELECT string_agg(t::text, E'\\n') FROM {} AS t").format(sql.Identifier(*name))
            (rows,) = connection.execute(query).fetchone()
            assert_none(found, ".".join(name), (rows or "").encode())

    launch.stop(home.settings)
    files = [path for path in home.path.rglob("*") if path.is_file() and not path.is_symlink()]
    looked_at = {str(path.relative_to(home.path)): path for path in files}
    assert {"log/api.log", "log/postgres.log", "postgres/data/PG_VERSION", "state.json"} <= set(looked_at)
    for name, path in looked_at.items():
        if name.startswith(MEANT):
            assert path.stat().st_mode & 0o077 == 0, name
        else:
            assert_none(found, name, path.read_bytes())
