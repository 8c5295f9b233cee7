"""A real embedded installation for tests: everything served by one process, and a worker beside it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import psycopg

from config.settings import Settings, load
from infra.mail.mailbox import Mailbox
from infra.secrets import secretfiles
from tests.acceptance.places import Letter, Place, signed_in
from tests.app.server import CHECKOUT, free_port, served

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "a horse that nobody staples"


@dataclass
class Running:
    """Where it is, its settings, somebody who has registered, and what kills the server outright and starts it anew."""

    url: str
    settings: Settings
    owner: httpx.Client
    kill: Callable[[], None]


@contextmanager
def running(server_url, platform_template, valkey_url, home):
    """Run an installation with a platform database of its own."""
    name = f"ldbtest_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {platform_template} STRATEGY wal_log")
    environment = {
        "LAUNCHDB_HOME": str(home),
        "LAUNCHDB_DATABASE_URL": psycopg.conninfo.make_conninfo(server_url, dbname=name),
        "LAUNCHDB_REDIS_URL": valkey_url,
        "LAUNCHDB_PORT": str(free_port()),
        "LAUNCHDB_AUTH_PRIVATE_NETWORKS": "127.0.0.0/8",  # where providers of tests are
    }
    settings = load(environment)
    secretfiles.ensure(settings.secrets_folder, home / ".env")
    with ExitStack() as servers, (home / "worker.log").open("w") as log:
        url = servers.enter_context(_served(settings))

        def kill():
            nonlocal url
            os.killpg(url.pid, signal.SIGKILL)
            servers.pop_all().close()
            url = servers.enter_context(_served(settings))

        around = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), **environment}
        worker = subprocess.Popen([sys.executable, "-m", "workers"], cwd=CHECKOUT, env=around, stderr=log)
        try:
            with httpx.Client(base_url=url, timeout=30) as owner:
                yield Running(str(url), settings, signed_in(owner, "ann@example.org", PASSWORD), kill)
                for project in owner.get("/api/projects").json()["projects"]:
                    owner.delete(f"/api/projects/{project['id']}", headers={"Prefer": "wait=60"}, timeout=90)
        finally:
            worker.terminate()
            worker.wait(20)
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _served(settings):
    return served(settings, "all", port=settings.port, LAUNCHDB_AUTH_PRIVATE_NETWORKS=settings.auth_private_networks)


@contextmanager
def embedded(server_url, platform_template, valkey_url, folder):
    """Run one that clients come to as it is: without TLS, at a loopback address."""
    with running(server_url, platform_template, valkey_url, folder / "home") as here:
        box = Mailbox(here.settings.mailbox_folder)

        def letters():
            return [Letter(mail.to, mail.subject, mail.text) for mail in box.messages()]

        yield Place(here.url, here.owner, letters, here.kill)
