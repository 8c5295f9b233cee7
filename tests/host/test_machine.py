"""Commands on the machine: by this process, or by the shell that has put it into a container; both do the same."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest

from config.installation import default_home, parse
from config.settings import CHECKOUT
from infra.errors import Refused, Unavailable
from infra.host.dotenv import EXAMPLE, names_of
from infra.host.machine import ShellOutside, ThisProcess
from infra.pipeline import ProgramFailed
from scripts.stack.checkout import Checkout
from scripts.stack.stack import IMAGES
from tests.fixtures.images import NAMES
from tests.install.conftest import git, repository  # noqa: F401 - a fixture

SHELL = 'set -eu; checkout=$1; . "$2/scripts/host.sh"; '
SERVE = f"{SHELL} work=$3; serve"


def shell(folder, *words, checkout=CHECKOUT, script=SERVE):
    return ["sh", "-c", script, "sh", checkout, CHECKOUT, folder, *words]


@pytest.fixture
def outside(tmp_path):
    """A shell that does what it is asked, as scripts/launchdb has one."""
    folder = tmp_path / "work"
    folder.mkdir()
    with subprocess.Popen(
        shell(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process, ShellOutside(process.stdin, process.stdout), folder
        process.kill()
        with suppress(OSError):
            process.stdin.close()


@pytest.fixture(params=["this process", "the shell outside"])
def machine(request, tmp_path):
    if request.param == "this process":
        return ThisProcess(tmp_path)
    return request.getfixturevalue("outside")[1]


def test_words_stay_what_they_are_and_so_does_what_is_printed(machine):
    words = ["", "two  words", 'it\'s a "quote"', "$HOME `id` $(id) * ? \\", "-n", "ä", " lead"]
    assert machine.run("printf", "%s|", *words) == "|".join([*words, ""]) + (
        "" if isinstance(machine, ThisProcess) else "\n"
    )
    assert machine.run("true") == ""
    assert machine.run("sh", "-c", "echo a; echo; echo b; echo not this >&2") == "a\n\nb\n"


def test_how_it_ended_is_known_with_what_it_said_on_its_errors(machine):
    with pytest.raises(ProgramFailed, match="no such thing") as failed:
        machine.run("sh", "-c", "echo seen; echo no such thing >&2; exit 128")
    assert failed.value.status == 128
    with pytest.raises(ProgramFailed) as failed:
        machine.follow("sh", "-c", "exit 3", tell=lambda _line: None)
    assert failed.value.status == 3
    assert machine.run("cat") == "", "what it could read is not the answer's"
    machine.follow("true", tell=lambda _line: None)


def test_what_is_followed_is_shown_as_it_comes(outside):
    process, machine, _ = outside
    machine.follow("sh", "-c", "echo built >&2; echo out", tell=lambda _line: None)
    assert [process.stderr.readline(), process.stderr.readline()] == [b"built\n", b"out\n"]


def test_a_word_that_would_be_two_is_refused(outside):
    _, machine, _ = outside
    with pytest.raises(Refused, match="no word for a command"):
        machine.run("echo", "a\nrun 1\ntrue")
    assert machine.run("echo", "b") == "b\n"


def test_a_shell_that_is_gone_is_said(outside):
    process, machine, _ = outside
    process.kill()
    process.wait()
    with pytest.raises(Unavailable, match="the shell outside"):
        machine.run("true")


def test_what_comes_next_is_left_to_the_shell_word_by_word(outside):
    process, machine, folder = outside
    machine.become("0.2.0", "update", "0.2.0", "--json")
    process.stdin.close()
    assert process.wait(10) == 0
    assert (folder / "become").read_text() == "0.2.0\nupdate\n0.2.0\n--json\n"


def test_a_version_is_taken_out_of_git(machine, repository):  # noqa: F811
    clone = repository.parent / "clone"
    subprocess.run(["git", "clone", "--quiet", repository, clone], check=True)
    code, told = Checkout(clone, machine), []
    assert (code.version(), code.take_out("0.1.0", told.append)) == ("0.2.0", "0.1.0")
    assert told == ["fetching versions", "the checkout is v0.1.0, version 0.1.0"]
    assert code.take_out("main", told.append) == "0.2.0"
    with pytest.raises(Refused, match=r"no version, tag or branch 9\.9\.9"):
        code.take_out("9.9.9", told.append)
    (clone / "pyproject.toml").write_text("changed")
    with pytest.raises(Refused, match="was changed by hand"):
        code.take_out("0.1.0", told.append)
    git(clone, "checkout", "--quiet", "pyproject.toml")
    repository.rename(repository.parent / "gone")
    assert code.take_out("0.1.0", told.append) == "0.1.0"
    assert "nothing could be fetched; what is here is used" in told[-2]


def test_images_are_built_under_the_name_of_a_version(machine, tmp_path):
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "build-images"
    script.write_text(
        f'#!/bin/sh\nprintf %s "$LAUNCHDB_VERSION" >{tmp_path}/built\n[ "$LAUNCHDB_VERSION" != broken ]\n'
    )
    script.chmod(0o755)
    Checkout(tmp_path, machine).build("0.2.0", print)
    assert (tmp_path / "built").read_text() == "0.2.0"
    with pytest.raises(ProgramFailed):
        Checkout(tmp_path, machine).build("broken", print)


# What the shell has to know before there is a Python to ask, it knows as Python does.
HOMES = [({"LAUNCHDB_HOME": "/srv/./state/../home"}, CHECKOUT), ({}, CHECKOUT)]


@pytest.mark.parametrize(("environment", "checkout"), HOMES)
def test_the_shell_looks_for_the_home_where_python_does(tmp_path, environment, checkout):
    script = f'{SHELL} printf %s "$home"'
    done = subprocess.run(shell(tmp_path, checkout=checkout, script=script), env={"PATH": "/usr/bin:/bin", **environment},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == str(default_home(environment))


@pytest.mark.parametrize(
    "line",
    [
        "LAUNCHDB_VERSION=1.2",
        'LAUNCHDB_VERSION="1.2"',
        "LAUNCHDB_VERSION='1.2'\r",
        "LAUNCHDB_VERSION=1\nLAUNCHDB_VERSION=1.2  ",
    ],
)
def test_the_shell_reads_the_version_as_python_does(tmp_path, line):
    (tmp_path / ".env").write_text(f"# LAUNCHDB_VERSION=0\n{line}\n")
    done = subprocess.run(shell(tmp_path, script=f"{SHELL} wanted_version"), capture_output=True, text=True, check=True,
                          env={"PATH": "/usr/bin:/bin", "LAUNCHDB_HOME": str(tmp_path)})  # fmt: skip
    assert done.stdout.strip() == "1.2" == parse((tmp_path / ".env").read_text())["LAUNCHDB_VERSION"]


def test_shell_and_python_know_the_same_variables_and_images():
    names = subprocess.run(
        ["sed", "-n", r"s/^#* *\([A-Z][A-Z0-9_]*\)=.*$/\1/p", EXAMPLE], capture_output=True, text=True, check=True
    )
    assert names.stdout.split() == names_of(EXAMPLE.read_text())
    assert r"s/^#* *\([A-Z][A-Z0-9_]*\)=.*$/\1/p" in (CHECKOUT / "scripts" / "host.sh").read_text()
    folders = {path.parent.name for path in (CHECKOUT / "compose" / "images").glob("*/Dockerfile")}
    assert folders == {*IMAGES, "host"} == set(NAMES)
