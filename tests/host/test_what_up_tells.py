"""What `launchdb up` and `launchdb status` tell: how many services of how many, how long all of it took, which program."""

from __future__ import annotations

import os
import subprocess
import time

from config import surroundings
from config.settings import CHECKOUT
from config.version import VERSION
from infra.host.docker_cli import ContainerStatus
from scripts.stack.checkout import Checkout
from scripts.stack.stack import NAMES, wait_until_well


class Coming:
    """A stack of which one more service is well each time that one looks."""

    def __init__(self) -> None:
        self.well = 0

    def containers(self, _asked=frozenset()):
        self.well += 1
        return [
            ContainerStatus(name, "running", "healthy" if number < self.well else "starting", None, "image", service)
            for number, (service, name) in enumerate(NAMES.items())
        ]


def test_up_tells_how_many_services_of_how_many_are_well(monkeypatch):
    monkeypatch.setattr("scripts.stack.stack.LOOK_SECONDS", 0.0)
    told = []
    wait_until_well(Coming(), told.append)
    most = len(NAMES)
    assert [line.rpartition(" (")[2] for line in told] == [f"{number} of {most})" for number in range(1, most + 1)]


def test_the_time_that_is_told_begins_with_the_command_that_was_typed(monkeypatch):
    monkeypatch.setenv("LAUNCHDB_BEGAN_AT", str(time.time() - 523))
    assert 523 <= time.time() - surroundings.began_at() < 600
    assert "LAUNCHDB_BEGAN_AT" not in os.environ, "it is that command's alone, and none of its children's"
    for nonsense in ("", "yesterday", str(time.time() + 900)):
        monkeypatch.setenv("LAUNCHDB_BEGAN_AT", nonsense)
        assert abs(surroundings.began_at() - time.time()) < 60
    script = (CHECKOUT / "scripts" / "run").read_text()
    assert script.index("LAUNCHDB_BEGAN_AT") < script.index("environment requirements.txt")


def test_the_commit_is_that_of_the_checkout_and_none_where_there_is_no_git(tmp_path):
    said = subprocess.run(
        ["git", "-c", f"safe.directory={CHECKOUT}", "-C", CHECKOUT, "rev-parse", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    commit = Checkout.here().commit()
    assert commit is None or said.stdout.startswith(commit)
    assert (commit is None) == (said.returncode != 0)
    assert Checkout(tmp_path, Checkout.here().machine).commit() is None
    assert Checkout.here().version() == VERSION
