"""The one word that checks everything says with its exit status whether everything was well."""

import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

pytestmark = pytest.mark.docker  # only where Docker is are the tests in containers run beside the others


def check(options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/test"],
        cwd=CHECKOUT,
        env={**os.environ, "CI": "true", "PYTEST_ADDOPTS": options},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_check_that_finds_nothing_succeeds_and_ends_with_pytests_closing_line():
    done = check("--collect-only -q")

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "tests collected" in done.stdout.splitlines()[-1]


def test_a_check_that_finds_something_fails_and_says_which_part_it_was():
    done = check("--no-such-option")

    assert done.returncode == 1
    assert "failed: tests containers" in done.stdout.splitlines()
