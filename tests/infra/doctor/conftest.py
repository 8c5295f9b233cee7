"""A machine in a folder, and an installation on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import load
from infra.doctor import checks, findings
from infra.doctor.site import Site

assert checks.MODULES

SOUND = {
    "etc/os-release": 'ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\n',
    "etc/timezone": "Etc/UTC\n",
    "run/systemd/timesync/synchronized": "",
    "var/lib/apt/lists/deb_Packages": "",
    "etc/fail2ban/jail.conf": "",
    "proc/cpuinfo": "processor\t: 0\nprocessor\t: 1\nprocessor\t: 2\nprocessor\t: 3\n",
    "proc/meminfo": "MemTotal:        8130000 kB\nMemFree: 1 kB\n",
    "etc/ufw/ufw.conf": "# comment\nENABLED=yes\nLOGLEVEL=low\n",
    "etc/default/ufw": 'DEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n',
    "etc/ufw/user.rules": "".join(
        f"### tuple ### allow tcp {port} 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp --dport {port} -j ACCEPT\n"
        for port in (22, 80, 443)
    ),
    "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\nMatch User x\n",
    "etc/ssh/sshd_config.d/50-keys.conf": "PasswordAuthentication no\n",
    "proc/net/tcp": (
        "  sl  local_address rem_address   st\n"
        "   0: 0100007F:1538 00000000:0000 0A\n"  # 127.0.0.1:5432
        "   1: 00000000:0016 00000000:0000 0A\n"  # 0.0.0.0:22
        "   2: 0A00000A:1538 0B00000A:C001 01\n"  # connected, not listening
    ),
    "proc/net/tcp6": (
        "  sl  local_address rem_address st\n"
        "   0: 00000000000000000000000001000000:2328 00000000000000000000000000000000:0000 0A\n"  # [::1]:9000
        "   1: 0000000000000000FFFF00000100007F:18EB 00000000000000000000000000000000:0000 0A\n"  # ::ffff:127.0.0.1:6379
    ),
    "proc/net/fib_trie": (
        "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n"
        "     |-- 203.0.113.7\n        /32 host LOCAL\n     |-- 172.17.0.1\n        /32 host LOCAL\n"
        "     |-- 203.0.113.255\n        /32 link BROADCAST\n"
    ),
}


class Machine:
    """A machine as a folder; writing to it breaks it."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root, self.home = root, home
        for path, text in SOUND.items():
            self.write(path, text)

    def write(self, path, text) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def site(self, **environment) -> Site:
        settings = load({"LAUNCHDB_HOME": str(self.home), **environment})
        return Site(settings, root=self.root)

    def look(self, name, site=None, **environment) -> list[findings.Finding]:
        return findings.CHECKS[name].findings(site or self.site(**environment))


@pytest.fixture
def machine(tmp_path, request, monkeypatch):
    """A sound machine with an empty home; it has Docker for tests that are marked so."""
    if request.node.get_closest_marker("docker") is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    home = tmp_path / "home"
    home.mkdir()
    return Machine(tmp_path / "root", home)


def bad(found) -> dict[str, findings.Finding]:
    """What is not well, by what it is about."""
    return {one.subject: one for one in found if one.status in ("warning", "failure")}
