"""A job is killed at an exact place in a process of its own, then carried on by another; the end is compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent

# One attempt, in a process that a crash point may end: no beats, no bells, nothing to wait for.
ONE_ATTEMPT = """
import jobs.kinds
from config.settings import load
from infra.composition import Infra
from jobs import kind as kinds
from jobs.lease import Leases
from jobs.runner import Runner
infra = Infra.open(load())
runner = Runner(infra, Leases(infra.database, infra.settings, worker='doomed'), worker='doomed',
                queues=['control', 'bulk'], serves=sorted(kinds.kinds()))
runner.run_one()
infra.close()
"""


def attempt_in_a_process(settings, *, crash: str = "", **more: str) -> int:
    """Claim and run one job in a process that dies at the crash point; return its exit status."""
    with start_an_attempt(settings, crash=crash, **more) as process:
        return process.wait()


def start_an_attempt(settings, *, crash: str = "", **more: str) -> subprocess.Popen:
    """Begin one attempt in a process of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(CHECKOUT),
        "LAUNCHDB_HOME": str(settings.home),
        "LAUNCHDB_DATABASE_URL": settings.database_url,
        "LAUNCHDB_REDIS_URL": settings.redis_url,
        "LAUNCHDB_PROJECT_MIGRATIONS": settings.project_migrations,
        "LAUNCHDB_CRASH": crash,
        **more,
    }
    return subprocess.Popen([sys.executable, "-c", ONE_ATTEMPT], cwd=CHECKOUT, env=environment)
