"""The installer, run against a machine in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
INSTALL = CHECKOUT / "scripts" / "install"


@dataclass
class Told:
    """How a run of the installer ended."""

    code: int
    out: str
    err: str

    def lines(self, word: str) -> list[str]:
        """What it did, would do, or found so."""
        return [line.split(None, 1)[1].strip() for line in self.out.splitlines() if line.startswith(f"  {word} ")]


@dataclass
class Server:
    """A machine that has nothing but a release file."""

    root: Path

    def install(self, *arguments: str, script: Path = INSTALL) -> Told:
        command = ["/bin/sh", str(script), "--root", str(self.root), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env={"HOME": str(self.root)}, check=False
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> Path:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        return self.path(path)

    def picture(self) -> dict[str, tuple]:
        """Everything that a change would change."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            stat = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.root))] = (
                stat.st_mode,
                stat.st_uid,
                stat.st_gid,
                stat.st_mtime_ns,
                content,
            )
        return found


@pytest.fixture
def server(tmp_path):
    """A bare server."""
    made = Server(tmp_path / "server")
    made.write("etc/os-release", 'ID=debian\nVERSION_ID="12"\n')
    return made


def git(folder: Path, *words: str) -> str:
    """Run git with an identity, and nothing of whoever runs the tests."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with a release, an annotated tag of it, and a newer main."""
    folder = tmp_path / "repository"
    (folder / "scripts").mkdir(parents=True)
    for name in ("scripts/launchdb", "scripts/host.sh", ".env.example"):
        shutil.copy(CHECKOUT / name, folder / name)
    git(folder, "init", "-q", "-b", "main")
    for text, message in (("1", "first"), ("2", "second")):
        (folder / "scripts/install").write_text(f"#!/bin/sh\n# {text}\n")
        (folder / "pyproject.toml").write_text(f'[project]\nversion = "0.{text}.0"\n')
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", message)
        if text == "1":
            git(folder, "tag", "-a", "-m", "release", "v0.1.0")
    return folder
