"""The default way to a certificate: an authority asks, on ports 80 and 443, whether the domain is ours."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import ssl
import tempfile
from pathlib import Path

import httpx
import pytest

from config.settings import load
from infra.edge.proxy import WHOLE, CaddyProxy, sealed
from infra.host import docker_cli
from infra.host.home import LAUNCHDB
from tests.fixtures.servers import wait_until

pytestmark = pytest.mark.docker
DOMAIN, AUTHORITY = "db.launchdb.test", "acme.test"
# As compose.yaml has it: ports 80 and 443 are had without any right of root's.
OWN = f"uid={LAUNCHDB},gid={LAUNCHDB},mode=0700"
CONFINED = (
    "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--read-only",
    "--tmpfs", "/tmp", "--tmpfs", f"/data:{OWN}", "--tmpfs", f"/config:{OWN}",
)  # fmt: skip
# A Caddy that plays the public authority, with names that Docker's resolver knows.
AUTHORITY_FILE = """
{{
	storage file_system {data}
	skip_install_trust
}}
{name} {{
	tls internal
	acme_server
}}
"""


@pytest.fixture
def folder():
    """A short path, which both containers see and their account may write."""
    with tempfile.TemporaryDirectory(prefix="ldb-") as name:
        place = Path(name)
        for path in ("authority", "home/caddy", "home/run/caddy", "home/run/projects"):
            (place / path).mkdir(parents=True)
        yield place


@pytest.fixture
def started(images, folder):
    """Start the image of Caddy under a name in DNS; its address."""
    name, made = f"ldbtest-{secrets.token_hex(4)}", []
    docker_cli.run_docker("network", "create", name)

    def start(alias: str, *environment: str) -> str:
        for path in folder.rglob("*"):
            shutil.chown(path, LAUNCHDB, LAUNCHDB)
        made.append(f"{name}-{len(made)}")
        options = [part for line in environment for part in ("--env", line)]
        docker_cli.run_docker(
            "run", "--detach", "--name", made[-1], "--network", name, "--network-alias", alias, *CONFINED,
            "--volume", f"{folder}:{folder}", *options, images["caddy"],
        )  # fmt: skip
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return docker_cli.run_docker("inspect", "--format", address, made[-1]).strip()

    yield start
    if made:
        docker_cli.run_docker("rm", "--force", *made)
    docker_cli.run_docker("network", "rm", name)


@pytest.mark.skipif(os.geteuid() != 0, reason="folders are given to the container's account")
def test_a_certificate_is_had_by_itself_and_http_leads_to_it(started, folder):
    data, file = folder / "authority" / "data", folder / "authority" / "Caddyfile"
    file.write_text(AUTHORITY_FILE.format(data=data, name=AUTHORITY))
    folder.chmod(0o755)
    started(AUTHORITY, f"CADDYFILE={file}")
    root = data / "pki" / "authorities" / "local" / "root.crt"
    wait_until(lambda: list(data.glob("certificates/**/*.crt")), seconds=30)

    settings = load(
        {"LAUNCHDB_HOME": str(folder / "home"), "DOMAIN": DOMAIN, "ACME_EMAIL": "a@launchdb.test"}, recall=False
    )
    text = CaddyProxy(settings).text()
    mail = "\temail a@launchdb.test\n"
    assert mail in text
    assert (settings.tls, settings.http_port, settings.https_port) == ("auto", 80, 443)
    other = f"\tacme_ca https://{AUTHORITY}/acme/local/directory\n\tacme_ca_root {root}\n"
    changed = text.rpartition(WHOLE)[0].replace(mail, mail + other)
    (folder / "home/caddy/Caddyfile").write_text(sealed(changed))
    address = started(DOMAIN, f"LAUNCHDB_HOME={folder / 'home'}")

    trusted = ssl.create_default_context(cafile=str(root))

    def is_certified() -> bool:
        try:
            with (
                socket.create_connection((address, 443), 5) as plain,
                trusted.wrap_socket(plain, server_hostname=DOMAIN),
            ):
                return True
        except OSError:
            return False

    wait_until(is_certified, seconds=30)
    answer = httpx.get(f"http://{address}/a?b=1", headers={"Host": DOMAIN})
    assert (answer.status_code, answer.headers["Location"]) == (308, f"https://{DOMAIN}/a?b=1")
