"""One backup carried by the engine: which files of ours it really passes, and that none of them calls upwards."""

from __future__ import annotations

from itertools import pairwise

import pytest

from catalog import backups
from jobs.engine.table import Job
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.verify_backup import VerifyBackup
from tests.fixtures.journeys import file_of, listed, passed, watched
from tests.test_journeys import is_below, module_of

pytestmark = pytest.mark.gpg
ENGINE = "jobs/engine/attempt.py"
# Plain functions that were handed down: what follows a long act and ends it, and where a vault's keys lie.
HANDED_DOWN = {
    ("jobs/engine/run.py", "check"),
    ("jobs/backup/backups.py", "progress"),
    ("infra/composition.py", "<lambda>"),
}


class Witness:
    """Sees who calls whom, and by what way the programs are reached that the dump goes through."""

    def __init__(self) -> None:
        self.ways: list[list[str]] = []
        self.calls: set[tuple[str, str, str]] = set()

    def __call__(self, frame, event, _argument) -> None:
        if event != "call" or (callee := file_of(frame.f_code)) is None or frame.f_code.co_name == "<module>":
            return
        if callee == "infra/pipeline.py" and frame.f_code.co_name == "stage":
            self.ways.append(passed(frame))
        caller = frame.f_back
        while caller is not None and file_of(caller.f_code) is None:
            caller = caller.f_back
        if caller is not None and caller.f_code.co_name != "<module>":
            self.calls.add((file_of(caller.f_code), callee, frame.f_code.co_name))


@pytest.fixture
def shop(life):
    life.provision()
    return life


def seen_of(life, arguments) -> tuple[Job, Witness]:
    """Carry one job to its end; return it, and what was seen of it."""
    job, witness = life.engine.enqueue(arguments), Witness()
    with watched(witness):
        life.engine.runner.drain()
    done = life.engine.job(job.id)
    assert (done.status, done.error) == ("succeeded", None)
    return done, witness


def test_a_backup_passes_the_files_that_are_listed_and_calls_none_above(shop):
    job, witness = seen_of(shop, BackupProject(shop.id))
    with shop.infra.database.autocommit() as tx:
        assert backups.of_job(tx, job.id).finished_at is not None
    kind, *files = listed("The journey of a backup")
    ways = [way[way.index(ENGINE) + 1 :] for way in witness.ways if ENGINE in way]
    walked = {name for way in ways for name in way}
    assert walked <= set(files)
    # The dump's snapshot is taken, and what it shows is counted, beside.
    called = {callee for _, callee, _ in witness.calls}
    assert {kind, *files} <= called
    assert all(files.index(one) < files.index(other) for way in ways for one, other in pairwise(way))
    assert climbs_of(witness) == []


def test_a_backup_that_is_verified_calls_nothing_above(shop):
    job, _ = seen_of(shop, BackupProject(shop.id))
    _, witness = seen_of(shop, VerifyBackup(shop.id, job.result["backupId"]))
    called = {callee for _, callee, _ in witness.calls}
    assert {"infra/backup/store.py", "infra/backup/sql_restore.py", "infra/postgres/staging.py"} <= called
    assert climbs_of(witness) == []


def climbs_of(witness: Witness) -> list[str]:
    """Return who calls a file of a wing above its own."""
    return sorted({f"{caller} → {callee}" for caller, callee, name in witness.calls if climbs(caller, callee, name)})


def climbs(caller: str, callee: str, name: str) -> bool:
    """Whether a file calls one of a wing above it. The engine is what carries kinds: it calls their steps."""
    if caller.startswith("jobs/engine/") or (callee, name) in HANDED_DOWN:
        return False
    return not is_below(module_of(callee), module_of(caller))
