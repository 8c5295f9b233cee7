"""What holds for every command: streams, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from config.settings import CHECKOUT
from config.version import VERSION

UNKNOWN_JOB = "job_" + "0" * 32
UNKNOWN_PROJECT = "proj_" + "f" * 16


def test_help_needs_neither_home_nor_server(launchdb):
    launchdb.environment = {}
    shown = launchdb.run("projects", "create", "--help")
    assert shown.code == 0
    assert "--no-wait" in shown.out


def test_it_says_its_version(launchdb):
    launchdb.environment = {}
    assert launchdb.run("--version").out.strip() == VERSION


def test_what_is_told_to_somebody_who_has_gone_ends_nothing():
    """An update whose terminal is gone has to be taken back all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    code = "from scripts.cli.output import print_note; print_note('going back'); print('went on')"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, cwd=CHECKOUT, check=False
    )
    os.close(writer)
    assert done.stdout == b"went on\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("projects", "show", UNKNOWN_PROJECT), 5),
        (("projects", "show", "no such name"), 5),
        (("projects", "show"), 2),
        (("projects", "show", "--wrong"), 2),
        (("projects", "frobnicate"), 2),
        (("projects", "create", "../../etc"), 2),
        (("projects", "create", "   "), 2),
        (("projects", "create", "shop", "--pool-size", "0"), 2),
        (("projects", "update", UNKNOWN_PROJECT), 2),
        (("jobs", "show", UNKNOWN_JOB), 5),
        (("jobs", "show", "proj_a;select 1"), 5),
        (("jobs", "show", "../owners"), 5),
        (("jobs", "retry", UNKNOWN_JOB), 5),
        (("jobs", "list", "--status", "lost"), 2),
        (("tokens", "delete", "nobody", "--yes"), 5),
        (("owners", "promote", "nobody@example.org"), 5),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_refused_command_says_so_in_one_sentence_and_by_its_code(launchdb, operator, arguments, code):
    refused = launchdb.run(*arguments)
    assert refused.code == code, refused.err
    assert refused.out == ""
    assert refused.err.strip()


def test_data_goes_to_standard_output_and_notes_to_standard_error(launchdb, operator):
    listed = launchdb.run("projects", "list", "--json")
    assert listed.json == {"projects": []}
    assert "API is down" in listed.err


def test_a_reader_that_has_seen_enough_causes_no_traceback(launchdb, operator):
    with launchdb.start("jobs", "list") as process:
        process.stdout.close()
        error = process.stderr.read()
        process.stdin.close()
    assert "Traceback" not in error
    assert "BrokenPipe" not in error


def test_a_home_without_an_installation_is_named(launchdb, tmp_path):
    launchdb.environment = {"LAUNCHDB_HOME": str(tmp_path / "nothing"), "XDG_CONFIG_HOME": str(tmp_path)}
    refused = launchdb.run("projects", "list")
    assert refused.code == 1
    assert str(tmp_path / "nothing") in refused.err


def test_a_wrong_setting_is_a_matter_of_usage(launchdb):
    launchdb.environment["LAUNCHDB_PORT"] = "99999"
    refused = launchdb.run("projects", "list")
    assert refused.code == 2
    assert "LAUNCHDB_PORT" in refused.err


def test_a_wrong_token_is_not_signed_in(launchdb, operator):
    launchdb.environment["LAUNCHDB_TOKEN"] = "ldb_wrong"
    refused = launchdb.run("projects", "list")
    assert refused.code == 6
    assert "launchdb login" in refused.err


def test_a_server_that_is_away_is_named(launchdb, unused_port):
    launchdb.environment |= {"LAUNCHDB_URL": f"http://127.0.0.1:{unused_port}", "LAUNCHDB_TOKEN": "ldb_x"}
    refused = launchdb.run("projects", "list")
    assert refused.code == 1
    assert f"127.0.0.1:{unused_port}" in refused.err


def test_interrupting_a_wait_detaches_and_says_how_to_watch_on(launchdb, operator):
    # Whoever runs the tests in the background has had SIGINT ignored for all below.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    waiting = launchdb.start("projects", "create", "shop", start_new_session=True, preexec_fn=heard)
    said = read_until(waiting, "waits:")
    os.killpg(waiting.pid, signal.SIGINT)
    _, more = waiting.communicate(timeout=20)
    assert waiting.returncode == 130, said + more
    assert "launchdb jobs watch job_" in more


def read_until(process: subprocess.Popen, text: str) -> str:
    """Read standard error up to a line that holds the text."""
    deadline, said = time.monotonic() + 20, ""
    while text not in said and time.monotonic() < deadline and (line := process.stderr.readline()):
        said += line
    assert text in said, said
    return said
