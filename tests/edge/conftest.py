"""A real Caddy before a real platform API, witnesses and projects' sockets, on loopback ports of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from config.settings import Settings, load
from infra.composition import Infra
from infra.edge.proxy import CaddyProxy, Upstreams
from infra.embedded.programs import caddy_binary
from infra.errors import Unavailable
from infra.secrets import secretfiles
from tests.app.server import free_port, served
from tests.edge.witness import witness
from tests.fixtures.projects import keep_master_key
from tests.fixtures.servers import wait_until

DOMAIN = "launchdb.test"


@dataclass
class Edge:
    """Caddy as clients reach it."""

    settings: Settings
    proxy: CaddyProxy
    log: Path
    said: Path
    ports: Upstreams
    stack: ExitStack = field(repr=False)

    @property
    def port(self) -> int:
        return self.settings.http_port if self.settings.tls == "off" else self.settings.https_port

    def client(self, **more) -> httpx.Client:
        """Return a client that knows the site by its name and, with TLS, trusts Caddy's own authority alone."""
        scheme = "http" if self.settings.tls == "off" else "https"
        verify = True
        if scheme == "https":
            root = self.settings.home / "caddy" / "data" / "pki" / "authorities" / "local" / "root.crt"
            verify = ssl.create_default_context(cafile=str(root))
        headers = {"Host": f"{DOMAIN}:{self.port}", **more.pop("headers", {})}
        client = httpx.Client(
            base_url=f"{scheme}://127.0.0.1:{self.port}", headers=headers, verify=verify, timeout=60, **more
        )
        client.event_hooks["request"].append(_name_the_site)
        return self.stack.enter_context(client)

    def folder(self, project_id: str) -> Path:
        return self.settings.run_folder / "projects" / project_id

    def socket(self, project_id: str) -> Path:
        return self.folder(project_id) / "api.sock"

    def access_log(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def _name_the_site(request) -> None:
    request.extensions["sni_hostname"] = DOMAIN


@contextmanager
def caddy(proxy, settings, stack, ports):
    """Run Caddy with the file that the proxy writes."""
    proxy.write()
    log, said = settings.home / "access.log", settings.home / "caddy.log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(settings.home)}
    with log.open("w") as out, said.open("w") as errors:
        process = subprocess.Popen(
            [caddy_binary(), "run", "--config", str(proxy.file), "--adapter", "caddyfile"],
            cwd=settings.home, env=environment, stdout=out, stderr=errors,
        )  # fmt: skip
        try:
            wait_until(lambda: process.poll() is not None or answers(proxy, settings))
            assert process.poll() is None, said.read_text()[-3000:]
            yield Edge(settings, proxy, log, said, ports, stack)
        finally:
            process.terminate()
            process.wait(30)


def answers(proxy, settings) -> bool:
    try:
        proxy.served()
    except Unavailable:
        return False
    root = settings.home / "caddy" / "data" / "certificates" / "local" / DOMAIN / f"{DOMAIN}.crt"
    return settings.tls == "off" or root.exists()


def edge_settings(home, **more) -> Settings:
    return load(
        {
            "LAUNCHDB_HOME": str(home),
            "DOMAIN": DOMAIN,
            "LAUNCHDB_HTTP_PORT": str(free_port()),
            "LAUNCHDB_HTTPS_PORT": str(free_port()),
            **more,
        }
    )


@pytest.fixture(scope="session")
def edge_home():
    """A home whose sockets have short names."""
    home = Path(tempfile.mkdtemp(prefix="ldbe-"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def edge_world(edge_home, server_url, platform_template, valkey_url):
    """The opened world of the installation behind Caddy."""
    name = f"ldbtest_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {platform_template} STRATEGY wal_log")
    settings = edge_settings(
        edge_home,
        LAUNCHDB_TLS="off",
        LAUNCHDB_DATABASE_URL=psycopg.conninfo.make_conninfo(server_url, dbname=name),
        LAUNCHDB_REDIS_URL=valkey_url,
    )
    secretfiles.ensure(settings.secrets_folder, edge_home / ".env")
    keep_master_key(settings)
    infra = Infra.open(settings)
    yield infra
    infra.close()
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


PLATFORM = {"LAUNCHDB_RUNTIME": "docker", "TRUSTED_PROXIES": "127.0.0.1/32", "LAUNCHDB_API_THREADS": "96"}


@pytest.fixture(scope="session")
def edge(edge_world):
    """Caddy without TLS, as behind a tunnel, before a platform API and two witnesses."""
    settings, auth, storage = edge_world.settings, free_port(), free_port()
    with ExitStack() as stack:
        platform = stack.enter_context(served(settings, "platform", **PLATFORM))
        stack.enter_context(witness(auth, "auth"))
        stack.enter_context(witness(storage, "storage"))
        ports = Upstreams(platform.removeprefix("http://"), f"127.0.0.1:{auth}", f"127.0.0.1:{storage}")
        yield stack.enter_context(caddy(CaddyProxy(settings, ports), settings, stack, ports))


@pytest.fixture
def project_socket(edge):
    """A witness at the socket of a project; returns the project's id."""
    project = f"proj_{secrets.token_hex(8)}"
    with witness(edge.socket(project), project):
        yield project
    shutil.rmtree(edge.folder(project))


class Runtime:
    """Runs a real data API in a process for each project that has a configuration, as containers do."""

    def __init__(self, edge, delay=0.0):
        self.edge, self.delay = edge, delay
        self.processes = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            wanted = {path.parent.name: path for path in self.edge.settings.instances_folder.glob("*/data-api.conf")}
            for project in set(self.processes) - set(wanted):
                self._end(project)
            for project, path in wanted.items():
                process = self.processes.get(project)
                if process is None or process.poll() is not None:
                    time.sleep(self.delay)
                    self._start(project, path)

    def _start(self, project, path):
        folder = self.edge.folder(project)
        folder.mkdir(parents=True, exist_ok=True)
        text = path.read_text() + f'server-unix-socket = "{folder / "api.sock"}"\n'
        own = folder / "own.conf"
        own.write_text(text)
        self.processes[project] = subprocess.Popen(
            [".venv/bin/python", "-m", "app.data.serve.standalone", str(own)],
            env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _end(self, project):
        process = self.processes.pop(project)
        process.terminate()
        process.wait(30)
        shutil.rmtree(self.edge.folder(project), ignore_errors=True)

    def close(self):
        self._stop.set()
        self._thread.join(30)
        for project in list(self.processes):
            self._end(project)
