"""A worker needs sessions of its own: behind a transaction pooler it refuses to start, and says why."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.errors import Refused
from infra.postgres.database import Database
from jobs.engine.worker import Liveness, worker_name

pytestmark = pytest.mark.pgbouncer
CONFIGURATION = """
[databases]
platform = host=127.0.0.1 port={port} dbname={dbname} user={user} password='{password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
ignore_startup_parameters = extra_float_digits,options
"""


@pytest.fixture
def pooled(platform_url, tmp_path):
    """Conninfo of the platform database through a pooler in transaction mode."""
    known = conninfo_to_dict(platform_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen_port = probe.getsockname()[1]
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(**known, listen_port=listen_port))
    argv = [shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"), str(file)]
    if os.geteuid() == 0:
        # It refuses to run as root; its folder must be readable on the whole way for the account it runs as.
        file.chmod(0o644)
        open_to_all = [folder, *list(folder.parents)[:3]]
        for parent in open_to_all:
            if parent.owner() == "root" and str(parent).startswith("/tmp/"):
                parent.chmod(parent.stat().st_mode | 0o011)
        argv += ["-u", "nobody"]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    conninfo = f"postgresql://anybody@127.0.0.1:{listen_port}/platform"
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(conninfo, connect_timeout=2).close()
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield conninfo
    process.terminate()
    process.wait(10)


def test_a_worker_behind_a_transaction_pooler_refuses_to_start(pooled):
    database = Database(pooled, name="through-the-pooler", max_size=4)
    # Other clients' transactions move the pooler's sessions about between two statements of ours.
    others = [psycopg.connect(pooled, autocommit=True) for _ in range(3)]
    held = psycopg.connect(pooled)
    liveness = Liveness(database, name=worker_name(), queues=["control"], threads=1, heard=lambda _payload: None)
    try:
        with pytest.raises(Refused, match="pooler"):
            for _ in range(50):
                held.execute("SELECT 1")
                liveness.take()
                held.rollback()
    finally:
        for connection in (*others, held):
            connection.close()
        database.close()
