"""Each lock holds what its .in asks for, all of it by version and hash; `scripts/lock` makes them anew, all or none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
WANTED = sorted(CHECKOUT.glob("requirements*.in"))
PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)(?:\[[a-z,-]+\])?==(?P<version>[^\s;]+)", re.IGNORECASE)


class Lock:
    """A lock file: `pins` (versions by name), `hashes` (how many a name has), `of` (who wants it)."""

    def __init__(self, path: Path) -> None:
        self.pins, self.hashes, self.of = defaultdict(set), defaultdict(int), defaultdict(set)
        name = ""
        for line in path.read_text().splitlines():
            if found := PIN.match(line):
                name = canonicalize_name(found["name"])
                self.pins[name].add(found["version"])
            elif re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line):
                self.hashes[name] += 1
            else:
                wants = re.fullmatch(r" +#( +via)? *(?P<who>\S.*)?", line)
                assert wants, f"{path.name}: {line!r} belongs into no lock"
                if wants["who"]:
                    self.of[name].add(wants["who"])


def wanted(path: Path) -> dict[str, Requirement]:
    """What a .in asks for itself, by name."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-r ")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def lock_of(path: Path) -> Path:
    return path.with_suffix(".txt")


def test_every_lock_has_a_file_that_says_what_is_wanted():
    assert sorted(CHECKOUT.glob("requirements*.txt")) == [lock_of(path) for path in WANTED]
    assert len(WANTED) == 4


@pytest.mark.parametrize("path", WANTED, ids=lambda path: path.stem)
def test_a_lock_holds_what_is_wanted_and_nothing_that_nobody_wants(path):
    lock, asked = Lock(lock_of(path)), wanted(path)
    assert set(asked) <= set(lock.pins), "run scripts/lock --keep"
    for name, requirement in asked.items():
        assert all(requirement.specifier.contains(version) for version in lock.pins[name]), f"{name}: run scripts/lock"
    direct = {name for name, who in lock.of.items() if f"-r {path.name}" in who}
    assert direct == set(asked), "run scripts/lock --keep"
    for name in lock.pins:
        wanting = {canonicalize_name(who.split("[")[0]) for who in lock.of[name] if not who.startswith("-")}
        assert wanting or any(who.startswith("-r ") for who in lock.of[name]), f"nobody wants {name}"
        assert wanting <= set(lock.pins), f"{name} is wanted by what is not there"


@pytest.mark.parametrize("path", WANTED, ids=lambda path: path.stem)
def test_a_lock_names_files_by_hash_and_no_place_that_they_come_from(path):
    lock = Lock(lock_of(path))
    assert all(lock.hashes[name] for name in lock.pins)
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted", lock_of(path).read_text())


def test_what_the_tests_run_with_is_what_runs():
    running, trying = (Lock(CHECKOUT / f"requirements{end}.txt").pins for end in ("", "-dev"))
    assert {name: trying.get(name) for name in running} == dict(running)


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """A package that holds nothing."""
    about = "".join(f"{line}\n" for line in ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"))
    about += "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", about)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def scratch(tmp_path):
    """A checkout that wants packages of a folder of ours, and a way to lock them."""
    (tmp_path / "scripts").mkdir()
    for script in ("lock", "environment.sh"):
        shutil.copy(CHECKOUT / "scripts" / script, tmp_path / "scripts" / script)
    (tmp_path / ".venv").symlink_to(CHECKOUT / ".venv")
    packages = tmp_path / "packages"
    packages.mkdir()
    wheel(packages, "under", "1.0")
    wheel(packages, "over", "1.0", "under")
    wheel(packages, "trial", "1.0")
    (tmp_path / "requirements.in").write_text("over\n")
    (tmp_path / "requirements-dev.in").write_text("-r requirements.in\ntrial\n")
    for end in ("", "-dev"):
        (tmp_path / f"requirements{end}.txt").touch()

    def run(*arguments: str, code: int = 0) -> str:
        env = {
            **os.environ,
            "PIP_FIND_LINKS": str(packages),
            "UV_OFFLINE": "1",
            "UV_CACHE_DIR": str(tmp_path / "cache"),
        }
        done = subprocess.run(
            [tmp_path / "scripts/lock", *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return tmp_path, packages, run


def test_one_word_makes_the_locks_anew_with_the_newest_versions(scratch):
    checkout, packages, run = scratch
    run()
    wheel(packages, "under", "2.0")
    assert "- under==1.0\n    + under==2.0" in run()
    for end in ("", "-dev"):
        assert Lock(checkout / f"requirements{end}.txt").pins["under"] == {"2.0"}
        assert str(packages) not in (checkout / f"requirements{end}.txt").read_text()
    assert run() == "the locks are as new as they can be\n"


def test_what_is_locked_can_be_kept_while_something_is_added(scratch):
    checkout, packages, run = scratch
    run()
    wheel(packages, "under", "2.0")
    (checkout / "requirements.in").write_text("over\ntrial\n")
    run("--keep")
    assert dict(Lock(checkout / "requirements.txt").pins) == {"over": {"1.0"}, "under": {"1.0"}, "trial": {"1.0"}}


def test_a_lock_that_cannot_be_made_leaves_all_as_they_were(scratch):
    checkout, packages, run = scratch
    run()
    before = [path.read_text() for path in sorted(checkout.glob("requirements*.txt"))]
    wheel(packages, "under", "2.0")
    (checkout / "requirements-dev.in").write_text("-r requirements.in\nabsent\n")
    assert "requirements-dev.txt could not be made" in run(code=1)
    assert [path.read_text() for path in sorted(checkout.glob("requirements*.txt"))] == before
