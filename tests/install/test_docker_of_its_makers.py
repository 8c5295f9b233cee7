"""Compose, or all of Docker, from the repository of Docker's makers; a stand-in is served under its name, signed by another key."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import ssl
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import gnupg
import pytest
import trustme

from tests.install import debian
from tests.install.debian import docker

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]  # which bring the base
NAME = "download.docker.com"
PROGRAM = """#!/bin/sh
case "$*" in
*metadata*) echo '{"SchemaVersion": "0.1.0", "Vendor": "a stand-in", "Version": "2.40.3"}' ;;
*) echo 2.40.3 ;;
esac
"""
DOCKER = """#!/bin/sh
case "$*" in
'compose version --short') exec /usr/libexec/docker/cli-plugins/docker-compose version --short ;;
--version) echo 'Docker version 29.1.3, build 0' ;;
*) exit 1 ;;
esac
"""


@dataclass
class Makers:
    """Where the stand-in is served, which key signs it, and who vouches for its server."""

    address: str
    fingerprint: str
    authorities: bytes

    def run(self, folder: Path, script: str, **where: str):
        return debian.run(
            folder,
            f"cp -R /src /copy && sed -i 's/^DOCKER_KEY=.*/DOCKER_KEY={self.fingerprint}/' /copy/scripts/install\n{script}",
            "--add-host",
            f"{NAME}:{self.address}",
            "--env",
            "CURL_CA_BUNDLE=/authorities",
            "--env",
            f"no_proxy={NAME}",
            authorities=self.authorities,
            **where,
        )


def package(folder: Path, name: str, program: str, text: str) -> dict[str, str]:
    """Build a package that holds one program; its paragraph of the index."""
    tree = folder / "tree" / name
    (tree / "DEBIAN").mkdir(parents=True)
    about = f"Package: {name}\nVersion: 5:29.1.3-1\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: a stand-in\n"
    (tree / "DEBIAN/control").write_text(about)
    path = tree / program
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o755)
    file = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(tree), str(file)], check=True, capture_output=True)
    content = file.read_bytes()
    return f"{about}Filename: {file.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"


def repository(folder: Path, suite: str, key: Path) -> str:
    """Lay a repository of apt; the fingerprint of its key."""
    with tempfile.TemporaryDirectory(prefix="gpg") as home:  # a short name: its agent listens in it
        return signed(folder, suite, key, Path(home))


def signed(folder: Path, suite: str, key: Path, home: Path) -> str:
    """Lay the packages and what is signed of them with a new key; its fingerprint."""
    gpg = gnupg.GPG(gnupghome=str(home))
    about = {"key_type": "EDDSA", "key_curve": "ed25519", "key_usage": "sign", "no_protection": True}
    made = gpg.gen_key(gpg.gen_key_input(name_real="a stand-in", name_email="t@example.org", **about))
    (fingerprint,) = [known["fingerprint"] for known in gpg.list_keys()]
    assert made.fingerprint == fingerprint
    key.write_text(gpg.export_keys(fingerprint))
    index = "\n".join(
        (
            package(folder, "docker-ce", "usr/bin/dockerd-of-makers", DOCKER),
            package(folder, "docker-ce-cli", "usr/bin/docker", DOCKER),
            package(folder, "containerd.io", "usr/bin/containerd-of-makers", DOCKER),
            package(folder, "docker-compose-plugin", "usr/libexec/docker/cli-plugins/docker-compose", PROGRAM),
        )
    ).encode()
    machine = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    lists = folder / f"dists/{suite}/stable/binary-{machine}"
    lists.mkdir(parents=True)
    (lists / "Packages.gz").write_bytes(gzip.compress(index))
    sums = "".join(
        f" {hashlib.sha256(content).hexdigest()} {len(content)} stable/binary-{machine}/{name}\n"
        for name, content in (("Packages", index), ("Packages.gz", (lists / "Packages.gz").read_bytes()))
    )
    release = folder / f"dists/{suite}/Release"
    release.write_text(
        f"Suite: {suite}\nCodename: {suite}\nComponents: stable\nArchitectures: {machine}\nSHA256:\n{sums}"
    )
    release.with_name("InRelease").write_bytes(gpg.sign(release.read_bytes(), keyid=fingerprint, clearsign=True).data)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
    return fingerprint


@contextmanager
def served(folder: Path, suite: str):
    """Docker's repository as containers of this machine find it."""
    root = folder / "www"
    tree = root / "linux/debian"
    tree.mkdir(parents=True)
    fingerprint = repository(tree, suite, tree / "gpg")
    bridge = json.loads(docker("network", "inspect", "bridge").stdout)[0]["IPAM"]["Config"][0]
    # A Docker that was never restarted does not name it; it is the first address of the net.
    address = bridge.get("Gateway") or str(next(ip_network(bridge["Subnet"]).hosts()))
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # apt takes no connection for an answer's end

        def __init__(self, *given) -> None:
            super().__init__(*given, directory=str(root))

        def log_message(self, *_) -> None:
            """The tests say what went wrong."""

    server = http.server.ThreadingHTTPServer((address, 443), Quiet)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Makers(address, fingerprint, authority.cert_pem.bytes())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


OLD_COMPOSE = """
set -e
sh /copy/scripts/install --without-firewall >/tmp/first 2>/tmp/first.err || { tail -20 /tmp/first.err; exit 1; }
sh /copy/scripts/install --without-firewall >/tmp/second 2>/tmp/second.err
grep Compose /tmp/first
docker compose version --short
command -v dockerd
dpkg-query -W -f '${db:Status-Status}\\n' docker.io
tail -4 /tmp/second
"""
# As on a system whose own Compose is too old.
NONE_OFFERED = """
printf 'Package: docker-compose docker-compose-v2\\nPin: release *\\nPin-Priority: -1\\n' >/etc/apt/preferences.d/none
"""


def compose_came_from_its_makers(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        "  doing   add the repository of Docker, and install Compose from it",
        "2.40.3",
        "/usr/sbin/dockerd",
        "installed",
    ]
    assert "Nothing had to be changed." in lines


@pytest.mark.full
def test_compose_comes_from_its_makers_where_the_distribution_has_none_that_will_do(tmp_path):
    """The engine stays the distribution's: Docker's plugin gets on with it."""
    with served(tmp_path, "trixie") as makers:
        compose_came_from_its_makers(makers.run(tmp_path, NONE_OFFERED + OLD_COMPOSE))


@pytest.mark.full
def test_so_it_does_on_debian_11(tmp_path):
    with served(tmp_path, "bullseye") as makers, debian.made("bullseye") as image:
        compose_came_from_its_makers(makers.run(tmp_path, OLD_COMPOSE, image=image, suite="bullseye"))


ALL_OF_IT = """
sh /src/scripts/install --docker-repository --without-firewall >/tmp/out 2>/tmp/err && exit 9
tail -1 /tmp/err
find /etc/apt/keyrings /etc/apt/sources.list.d -type f
! command -v docker || exit 9
set -e
sh /copy/scripts/install --docker-repository --without-firewall >/tmp/out 2>/tmp/err || { tail -20 /tmp/err; exit 1; }
docker --version
docker compose version --short
sh /copy/scripts/install --docker-repository --without-firewall 2>/tmp/err | tail -4
"""


def test_all_of_docker_comes_from_its_makers_and_from_nobody_who_signs_as_them(tmp_path):
    with served(tmp_path, "trixie") as makers:
        done = makers.run(tmp_path, ALL_OF_IT)
    assert done.returncode == 0, done.stdout + done.stderr
    refused, version, compose, *rest = done.stdout.splitlines()
    assert refused == "install: the key that came is not that of Docker; nothing was installed from there"
    assert (version, compose) == ("Docker version 29.1.3, build 0", "2.40.3")
    assert "Nothing had to be changed." in rest
