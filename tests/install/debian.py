"""A bare Debian in a container, in which the installer does all that it does on a server but for what needs an init system."""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fixtures.images import public_mirror
from tests.install.conftest import CHECKOUT, git

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def docker(*arguments: str, feed: str = "") -> subprocess.CompletedProcess[str]:
    """Run Docker's client."""
    return subprocess.run(["docker", *arguments], input=feed, capture_output=True, text=True, timeout=600, check=False)


def mirror() -> str:
    """Where this machine takes Debian from."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(path.read_text() for path in files if path.is_file() and path.suffix in ("", ".list", ".sources"))
    lines = [line for line in text.splitlines() if line.startswith(("deb ", "URIs:"))]
    found = re.findall(r"(https?://\S+/debian)/?(?:\s|$)", "\n".join(lines))
    return found[0] if found else public_mirror()


def run(
    folder: Path,
    script: str,
    *options: str,
    image: str = "debian:trixie-slim",
    suite: str = "trixie",
    authorities: bytes = b"",
) -> subprocess.CompletedProcess[str]:
    """Run a script in a bare Debian with the checkout at /src, and a firewall of its own.

    `authorities` are certificates that it trusts besides those of this machine.
    """
    known = AUTHORITIES.read_bytes() if AUTHORITIES.exists() else b""
    (folder / "sources.list").write_text(f"deb {mirror()} {suite} main\n")
    (folder / "authorities").write_bytes(known + authorities)
    (folder / "apt.conf").write_text('Acquire::https::CaInfo "/authorities";\n' if known + authorities else "")
    (folder / "script").write_text(script)
    git(folder, "clone", "-q", "--depth", "1", f"file://{CHECKOUT}", str(folder / "source"))
    mounts = {
        "sources.list": "/etc/apt/sources.list",
        "apt.conf": "/etc/apt/apt.conf.d/90machine",
        "authorities": "/authorities",
        "script": "/script",
        "source": "/src",
    }
    volumes = [f"--volume={folder / name}:{target}:ro" for name, target in mounts.items()]
    bare = ("--rm", "--cap-add", "NET_ADMIN", "--tmpfs", "/etc/apt/sources.list.d", *volumes, *options)
    return docker("run", *bare, image, "sh", "/script")


@contextmanager
def made(suite: str) -> Iterator[str]:
    """An image of another release of Debian, for as long as it is needed."""
    tag = f"ldbtest-debian:{suite}-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        subprocess.run(["debootstrap", "--variant=minbase", suite, str(base)], check=True, capture_output=True)
        with subprocess.Popen(["tar", "-C", str(base), "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(["docker", "import", "-", tag], stdin=tar.stdout, check=True, capture_output=True)
        assert tar.returncode == 0
    try:
        yield tag
    finally:
        docker("rmi", "--force", tag)
