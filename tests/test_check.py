"""The one word that checks everything says with its exit status whether everything was well."""

import os
import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

pytestmark = pytest.mark.docker  # only where Docker is are the tests in containers run beside the others


def check(*arguments: str, options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        ["sh", "scripts/test", *arguments],
        cwd=CHECKOUT,
        env={**environment, "CI": "true", "PYTEST_ADDOPTS": options},
        capture_output=True,
        text=True,
        check=False,
    )


def collected(*arguments: str) -> str:
    """What a check says that finds nothing; it succeeds and ends with pytest's closing line."""
    done = check(*arguments, options="--collect-only -q")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "tests collected" in done.stdout.splitlines()[-1]
    return done.stdout


def test_a_check_at_the_desk_that_finds_nothing_succeeds():
    collected()


def test_a_whole_check_that_finds_nothing_succeeds_and_each_test_runs_in_one_of_its_parts():
    parts = re.findall(r"^(\d+)/(\d+) tests collected", collected("--full"), re.MULTILINE)

    assert len(parts) == 3
    assert {sum(int(chosen) for chosen, _ in parts)} == {int(every) for _, every in parts}


@pytest.mark.parametrize(("but", "code"), [("not test_fails or among", 0), ("", 1)], ids=["steady", "failing"])
def test_what_fails_among_others_is_tried_again_alone_and_said_and_what_fails_alone_fails(but, code):
    done = check("--all", options=f"tests/fixtures/unsteady.py -k '{but}'")
    said = done.stdout.splitlines()

    assert done.returncode == code, done.stdout[-3000:]
    assert f"failed among the others, tried again alone: {1 + code}" in said
    assert any(line.startswith("tests/fixtures/unsteady.py::test_fails_among_others PASSED") for line in said)
    assert ("failed: tests" in said) == bool(code)


def test_a_check_that_finds_something_fails_and_says_which_part_it_was():
    done = check("--all", options="--no-such-option")

    assert done.returncode == 1
    assert "failed: containers tests" in done.stdout.splitlines()
