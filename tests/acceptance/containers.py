"""The installation in containers as clients come to it: through Caddy over TLS, by a name that DNS does not know."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import ssl
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.host import docker_cli
from scripts.stack import edge
from scripts.stack.stack import NAMES
from tests.acceptance.places import Letter, Place
from tests.fixtures.installation import DOMAIN, MAIL_AUTHORITY
from tests.fixtures.smtp import Server

# A project names its mail server by a name of the public network, and one of few ports.
MAIL_HOST, MAIL_PORT = "mail.shop.example", 2525
# A mount of its own process alone: everybody else's names stay as they are.
KNOWING_THE_NAME = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')


@contextmanager
def in_containers(installation, folder):
    """Give the one installation of the session as a place."""
    names = folder / "hosts"
    names.write_text(f"127.0.0.1 localhost {DOMAIN}\n")
    with (
        closing(Server(folder, installation.host)) as post,
        closing(installation.signed_in()) as owner,
        _known_here(DOMAIN),
        _known_to_workers(MAIL_HOST, installation.host),
    ):
        shutil.copyfile(post.ca_file, installation.home / MAIL_AUTHORITY)
        sink = post.start(port=MAIL_PORT).sink

        def letters():
            return [_letter(message) for message in reversed(sink.messages)]

        yield Place(
            url=installation.settings.base_url,
            owner=owner,
            letters=letters,
            kill_storage=_kill_storage,
            host=installation.host,
            mail={"smtpHost": MAIL_HOST, "smtpPort": MAIL_PORT, "mailFrom": "shop@example.com"},
            authority=str(installation.home / edge.AUTHORITY),
            key_pin=_key_pin(installation.settings),
            run_by=(*KNOWING_THE_NAME, str(names)),
        )


def _letter(message) -> Letter:
    return Letter(message["To"], message["Subject"], message.get_body(("plain",)).get_content())


def _kill_storage() -> None:
    """End all processes of the container but its first, which ends with them; Docker starts it again."""
    subprocess.run(
        ["docker", "exec", NAMES["storage-service"], "sh", "-c", "kill -9 -1"], capture_output=True, check=False
    )


def _key_pin(settings) -> str:
    """The hash of the key that the certificate is for."""
    context = ssl.create_default_context(cadata=edge.authority(settings))
    address = ("127.0.0.1", settings.https_port)
    with socket.create_connection(address) as plain, context.wrap_socket(plain, server_hostname=DOMAIN) as secured:
        shown = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))
    key = shown.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@contextmanager
def _known_here(name):
    """Have this process find a name on loopback, as programs do that are run by KNOWING_THE_NAME."""
    resolve = socket.getaddrinfo

    def resolved(host, *given, **named):
        return resolve("127.0.0.1" if host == name else host, *given, **named)

    socket.getaddrinfo = resolved
    try:
        yield
    finally:
        socket.getaddrinfo = resolve


@contextmanager
def _known_to_workers(name, address):
    """Have the workers' containers find a name, which they would ask the name servers of the world for."""
    inspected = docker_cli.run_docker("inspect", "--format", "{{.HostsPath}}", NAMES["worker"], NAMES["worker-bulk"])
    before = {path: path.read_text() for path in map(Path, inspected.split())}
    for path, text in before.items():
        path.write_text(f"{text}{address} {name}\n")  # in place: it is mounted
    try:
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)
