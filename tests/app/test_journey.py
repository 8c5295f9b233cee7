"""One project over HTTP, carried by a worker of this process: which files of ours it really passes."""

from __future__ import annotations

import re

import pytest

from tests.fixtures.journeys import UNLISTED, file_of, listed, passed, statement_of, watched
from tests.fixtures.projects import drop
from tests.jobs.conftest import wait_until
from workers.process import Process

VIEW, FUNCTIONS = "app/http/dispatch.py", "jobs/engine/functions.sql"


class Witness:
    """Sees where the row of the job is written, who hears its bell, and where the database is made."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heard: list[str] = []
        self.made: list[str] = []

    def __call__(self, frame, event, argument) -> None:
        if event == "call" and (statement := statement_of(frame)):
            if "enqueue_job(" in statement:
                self.asked = self.asked or passed(frame)
            elif re.search(r"^CREATE DATABASE ", statement, re.MULTILINE):
                self.made = passed(frame)
        elif event == "return" and argument is not None and frame.f_code.co_name == "__next__":
            self.heard = self.heard or [name for name in [file_of(frame.f_code)] if name]


@pytest.fixture
def worker(settings, master_key):
    """A worker process, but for its being this one."""
    made = []

    def start():
        made.append(Process(settings, ["control"]))
        made[0].start()

    yield start
    for process in made:
        process.stop()


def test_a_request_for_a_project_passes_the_files_that_are_listed_and_no_other(owner, infra, worker):
    infra.databases.prepare("test")
    witness = Witness()
    with watched(witness):
        worker()
        project = owner.project("shop")
        try:
            wait_until(lambda: owner.get(f"/api/projects/{project['id']}").json()["status"] == "active")
        finally:
            drop(infra, project["id"])
    files = listed("File by file")
    asked = without_connections(witness.asked[witness.asked.index(VIEW) :])
    made = without_connections(witness.made)
    walked = list(dict.fromkeys([*asked, *witness.heard, *made]))
    assert walked == [name for name in files if name.endswith(".py")]
    statements = [beside(asked[-1]), FUNCTIONS, beside(made[-1])]
    assert statements == [name for name in files if name.endswith(".sql")]


def without_connections(files: list[str]) -> list[str]:
    return [name for name in files if name not in UNLISTED]


def beside(file: str) -> str:
    """Return where the statements of a file stand."""
    return file.removesuffix(".py") + ".sql"
