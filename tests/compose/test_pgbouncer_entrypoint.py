"""What the guide types in PgBouncer's container: another file is read at once by `kill -HUP 1`."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess

import pytest

from config.settings import CHECKOUT
from tests.jobs.conftest import wait_until

IMAGE = CHECKOUT / "compose" / "images" / "pgbouncer"


@pytest.fixture
def pooler(tmp_path):
    """The entrypoint, and in PgBouncer's place a program that tells of the signals that it gets."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "pgbouncer"
    program.write_text(
        f"#!/bin/sh\ntrap 'echo HUP >>{tmp_path}/told' HUP\necho $$ >{tmp_path}/pid\necho up >>{tmp_path}/told\n"
        "while :; do sleep 0.1 & wait $!; done\n"
    )
    program.chmod(0o755)
    text = b"[pgbouncer]\n"
    (tmp_path / "pgbouncer.ini").write_bytes(text + f"; whole: {hashlib.sha256(text).hexdigest()}\n".encode())
    (tmp_path / "userlist.txt").write_text('"somebody" "SCRAM-SHA-256$..."\n')
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "PGBOUNCER_INI": f"{tmp_path}/pgbouncer.ini"}
    # What is ignored where a shell begins, as where these tests run under nohup, it cannot hear.
    command = ["env", "--default-signal=HUP", "sh", IMAGE / "entrypoint"]
    process = subprocess.Popen(command, env=environment)
    yield process, lambda: (tmp_path / "told").read_text().split() if (tmp_path / "told").exists() else []
    for pid in (process.pid, int((tmp_path / "pid").read_text())):
        os.kill(pid, signal.SIGKILL)
    process.wait(10)


def test_the_guides_signal_has_the_pooler_read_its_file_again(pooler):
    process, told = pooler
    wait_until(lambda: told() == ["up"], 20)

    def is_heard():  # the entrypoint may not know yet whom it has started
        subprocess.run([IMAGE / "kill", "-HUP", str(process.pid)], check=True)
        return set(told()) == {"up", "HUP"}

    wait_until(is_heard, 20)
    assert process.poll() is None
    copied = (IMAGE / "Dockerfile").read_text()
    assert "COPY entrypoint answers kill /usr/local/bin/" in copied
