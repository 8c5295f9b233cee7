"""The same assault on an installation in containers: attacks and neighbours come in through Caddy, and straight to Postgres."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing, contextmanager

import httpx
import pytest

from infra.host import docker_cli
from scripts.stack import edge
from scripts.stack.stack import NAMES
from tests.compose.test_stack import sql
from tests.isolation.neighbour import assert_unharmed, make_hostile, make_neighbour

pytestmark = [pytest.mark.docker, pytest.mark.full]


def address_of(service: str, network: str) -> str:
    networks = json.loads(
        docker_cli.run_docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", NAMES[service])
    )
    return networks[network]["IPAddress"]


@contextmanager
def set_in_environment(installation, **values: str):
    """Have the installation run with other settings, and with those of before afterwards."""
    file = installation.home / ".env"
    before = file.read_text()
    file.write_text(before + "".join(f"{name}={value}\n" for name, value in values.items()))
    try:
        installation.launchdb("up", "--docker", "--detach", "--without-demo", seconds=600)
        yield
    finally:
        file.write_text(before)
        installation.launchdb("up", "--docker", "--detach", "--without-demo", seconds=600)


@contextmanager
def another_address(network: str):
    """An address of this machine's own beside Caddy: who comes from there is not who comes over loopback."""
    shown = json.loads(docker_cli.run_docker("network", "inspect", network))[0]
    bridge, subnet = f"br-{shown['Id'][:12]}", shown["IPAM"]["Config"][0]["Subnet"]
    address = re.sub(r"\d+/(\d+)$", r"250/\1", subnet)
    subprocess.run(["ip", "address", "add", address, "dev", bridge], check=True)
    try:
        yield address.partition("/")[0]
    finally:
        subprocess.run(["ip", "address", "delete", address, "dev", bridge], check=False)


def test_a_hostile_project_takes_nothing_from_its_neighbour_in_containers(installation, capsys):
    settings, base = installation.settings, installation.settings.base_url
    database = f"{address_of('postgres', 'launchdb-inner')}:5432"
    opened = {"DATABASE_PUBLIC_HOST": database, "MAX_PROJECTS_PER_OWNER": "200", "REGISTRATION": "open"}
    with set_in_environment(installation, **opened), another_address("launchdb-edge") as mine:
        caddy = address_of("reverse-proxy", "launchdb-edge")

        def open_client(**more):
            way = edge.ThroughCaddy(settings, edge.trust(settings), address=caddy, local_address=mine)
            return httpx.Client(base_url=base, transport=way, **more)

        def doctor() -> str:
            with closing(installation.signed_in()) as http:
                return str(http.get("/api/admin/doctor").json())

        with open_client(timeout=90) as client:
            hostile = make_hostile(client, base, str(installation.home))
            neighbour = make_neighbour(client, open_client)
        with capsys.disabled():
            assert_unharmed(hostile, neighbour, doctor, lambda query: float(sql(installation, query)))
