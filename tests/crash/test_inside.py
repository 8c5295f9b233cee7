"""Struck while an act is being done, not only before and after it: whoever takes over keeps the kind's whole promise."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from jobs.engine.table import find
from tests.crash.attempts import Attempt
from tests.crash.carrying import installation, pass_on, write
from tests.crash.cases import CASES
from tests.crash.place import carry_on
from tests.crash.places import chance
from tests.crash.test_backups import wait_for_no_programs
from tests.crash.test_matrix import forget_all, outcome
from tests.fixtures.cut import Act, line_to, server_answers
from tests.fixtures.halfway import drops_halt, end_backends, halted
from tests.fixtures.servers import wait_until

__all__ = ["installation"]
pytestmark = pytest.mark.skipif(
    bool(os.environ.get("LAUNCHDB_TEST_POSTGRES")), reason="its processes are not ours to strike"
)
# What is struck: the worker, the backend that does the act, the line to it, or the server as a whole.
STRUCK = ("worker", "backend", "line", "server")
# Acts that are worth a blow before others: they take their time, and leave something when they do not come to their end.
HEAVY = re.compile(
    r"^\s*(CREATE DATABASE|DROP DATABASE|ALTER DATABASE|COPY|REASSIGN|DROP OWNED|VACUUM|CREATE ROLE|ALTER ROLE|COMMENT)"
)
WAIT_SECONDS = 60.0
# How many acts of a kind the long campaign strikes in each way, and by how much of their text they are told apart.
MANY = int(os.environ.get("LAUNCHDB_TEST_BLOWS", "6"))
TOLD_APART_BY = 60
DROP = "DROP DATABASE"


class Blow:
    """What happens while an act is being done. At a DROP DATABASE the server stands still until it has happened."""

    def __init__(self, what: str, settings, job) -> None:
        self.what, self.job, self.settings = what, job, settings
        self.attempt: Attempt | None = None
        self.line = None
        self.halts = ExitStack()

    def prepare(self, act: Act) -> None:
        """Have the act take its time, where that can be had."""
        if is_drop(act) and self.what != "server":
            self.halts.enter_context(drops_halt(self.settings.database_url))

    def __call__(self, act: Act) -> None:
        if is_drop(act) and self.what != "server":
            wait_until(
                lambda: halted(self.settings.database_url, f"launchdb:{self.job.id}:%") or _ended(act), WAIT_SECONDS
            )
        else:
            # The statement is with the server; of one that took long, half of that has passed.
            time.sleep(act.took / 2)
        if self.what == "worker":
            self.attempt.kill()
        elif self.what == "backend":
            terminate(self.settings.database_url, act.backend)
        elif self.what == "line":
            self.line.cut(act)
        else:
            os.kill(act.backend, signal.SIGKILL)


def is_drop(act: Act) -> bool:
    return act.text.startswith(DROP)


def _ended(act: Act) -> bool:
    return not Path(f"/proc/{act.backend}").exists()


def terminate(url: str, backend: int) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,))


class Struck:
    """A case whose worker is reached by a line that counts its acts; what an undisturbed run has done and left.

    Of a parent these are the acts of its first turn; its children are cases of their own.
    """

    known: ClassVar[dict[str, tuple[list[Act], tuple]]] = {}

    def __init__(self, case, settings, infra) -> None:
        self.case, self.settings, self.infra = case, settings, infra
        if case.name not in self.known:
            self.known[case.name] = self._undisturbed()
        self.acts, self.wanted = self.known[case.name]

    def _undisturbed(self):
        place = self.case.place(self.settings, self.infra)
        try:
            arguments, project = self.case.begin(place)
            with line_to(self.settings.database_url) as (line, url):
                job = write(self.infra, arguments)
                assert Attempt(self.settings, LAUNCHDB_DATABASE_URL=url).wait() == 0
                acts = list(line.acts)
            carry_on(self.infra, job)
            return acts, outcome(place, project, self.infra, job)
        finally:
            place.close()
            forget_all(self.settings, self.infra)

    def strike(self, number: int, what: str) -> None:
        """Have a job be struck while the act of that number is being done, and others carry it on."""
        place = self.case.place(self.settings, self.infra)
        try:
            arguments, project = self.case.begin(place)
            job = write(self.infra, arguments)
            act = self._struck(job, number, what)
            wait_until(lambda: server_answers(self.settings.database_url), WAIT_SECONDS)
            assert wait_for_no_programs(str(self.settings.home), job.id), "a program outlived its worker"
            end_backends(self.settings.database_url, f"launchdb:{job.id}:%")
            pass_on(self.infra)
            carry_on(self.infra, job)
            assert outcome(place, project, self.infra, job) == self.wanted, f"struck: {what}, act {number}: {act}"
        finally:
            place.close()
            forget_all(self.settings, self.infra)

    def _struck(self, job, number: int, what: str) -> Act | None:
        blow = Blow(what, self.settings, job)
        with blow.halts, line_to(self.settings.database_url) as (line, url):
            line.took, blow.line = self.acts[number].took, line
            if is_drop(self.acts[number]):
                # On a busy machine it may get another number, and would be halted for a blow that never comes.
                line.on = DROP
            else:
                line.at = number
            line.strike = blow
            blow.prepare(self.acts[number])
            blow.attempt = Attempt(self.settings, LAUNCHDB_DATABASE_URL=url)
            wait_until(lambda: line.struck_to_the_end or not blow.attempt.runs, WAIT_SECONDS)
            blow.halts.close()
            blow.attempt.wait()
            assert line.faults == []
            assert line.struck or not line.on, "the DROP DATABASE was not met"
            return line.struck

    def different(self, what: str) -> list[int]:
        """Return so many acts by seed, no two of which begin alike: a dump asks hundreds of times for the same thing."""
        by_text = {act.text[:TOLD_APART_BY]: number for number, act in enumerate(self.acts)}
        numbers = sorted(by_text.values())
        return sorted(chance(self.case.name, what, "many").sample(numbers, min(MANY, len(numbers))))

    def chosen(self, what: str) -> int:
        """Return one act by seed, a heavy one where there is any."""
        heavy = [number for number, act in enumerate(self.acts) if HEAVY.match(act.text)]
        return chance(self.case.name, what).choice(heavy or range(len(self.acts)))


def parameters(names, struck=STRUCK) -> list:
    """Every case with every blow; of each case one blow, by seed, in every run."""
    return [
        pytest.param(
            CASES[name],
            what,
            id=f"{name}-{what}",
            marks=(*CASES[name].marks, *(() if what == chance(name).choice(struck) else (pytest.mark.full,))),
        )
        for name in names
        for what in struck
    ]


@pytest.mark.parametrize(("case", "what"), parameters(CASES))
def test_a_job_that_is_struck_in_the_middle_of_an_act_ends_as_an_undisturbed_one_does(
    case, what, settings, installation
):
    struck = Struck(case, settings, installation)
    struck.strike(struck.chosen(what), what)


# What drops databases; a deletion in every way in every run.
DROPS = parameters(["purge", "restore_again", "undo", "forget"], STRUCK[:3])
DELETES = [pytest.param(CASES["delete_"], what, id=f"delete_-{what}", marks=pytest.mark.gpg) for what in STRUCK[:3]]


@pytest.mark.parametrize(("case", "what"), [*DELETES, *DROPS])
def test_a_drop_of_a_database_may_be_cut_in_the_middle(case, what, settings, installation):
    struck = Struck(case, settings, installation)
    drops = [number for number, act in enumerate(struck.acts) if is_drop(act)]
    struck.strike(chance(case.name, what).choice(drops), what)


PROGRAMS = [
    pytest.param(CASES[name], program, id=f"{name}-{program}", marks=pytest.mark.gpg)
    for name, program in (
        ("backup", "pg_dump"),
        ("backup", "gpg"),
        ("delete_", "pg_dump"),
        ("delete_", "gpg"),
        ("verify", "gpg"),
        ("restore", "gpg"),
        ("platform", "pg_dump"),
    )
]


def end_program(attempt: Attempt, program: str) -> bool:
    """Kill a program of that name that the worker has started; say whether there was one."""
    with suppress(OSError):
        for task in Path(f"/proc/{attempt.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == program:
                    os.kill(int(child), signal.SIGKILL)
                    return True
    return False


@pytest.mark.parametrize(("case", "program"), PROGRAMS)
def test_a_program_that_is_killed_alone_is_tried_again(case, program, settings, installation):
    """As the kernel does when memory is short: what broke off says nothing about the backup that was read."""
    wanted = Struck(case, settings, installation).wanted
    place = case.place(settings, installation)
    try:
        arguments, project = case.begin(place)
        job = write(installation, arguments)
        with Attempt(settings) as attempt:
            deadline = time.monotonic() + WAIT_SECONDS
            while not end_program(attempt, program):
                assert attempt.runs, f"{program} was not seen"
                assert time.monotonic() < deadline
        with installation.database.autocommit() as tx:
            assert find(tx, job.id).status != "failed"
        carry_on(installation, job)
        assert outcome(place, project, installation, job) == wanted
    finally:
        place.close()


@pytest.mark.full
@pytest.mark.parametrize("what", STRUCK)
@pytest.mark.parametrize("case", [pytest.param(CASES[name], id=name, marks=CASES[name].marks) for name in CASES])
def test_many_acts_of_a_kind_may_be_struck(case, what, settings, installation):
    struck = Struck(case, settings, installation)
    for number in struck.different(what):
        struck.strike(number, what)
