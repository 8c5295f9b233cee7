"""A cancel that arrives as a step begins or ends: undone or carried to the end as declared, and nothing is left over."""

from __future__ import annotations

import threading
import time

import pytest

from jobs.engine import kind as kinds
from jobs.engine.commands import JobConflict, cancel
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from jobs.engine.table import find
from jobs.kinds.platform.migrate_fleet import MigrateFleet
from jobs.kinds.platform.prune import PrunePlatform
from jobs.kinds.platform.rotate_fleet import RotateFleet
from jobs.kinds.platform.vacuum_fleet import VacuumFleet
from jobs.kinds.platform.vacuum_platform import VacuumPlatform
from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.migrate import MigrateProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.kinds.project.retire_secret import RetireSecret
from jobs.kinds.project.rotate_secret import RotateSecret
from tests.crash.carrying import (
    LIFE,
    MORE,
    installation,  # noqa: F401 - a fixture
    mark_deleting,
    prepare,
    seen,
    status,
    write,
)
from tests.crash.places import ALWAYS, chance
from tests.fixtures.beats import beating
from tests.fixtures.projects import add_project, drop

OF_A_PROJECT = (ProvisionProject, DeleteProject, RotateSecret, RetireSecret, MigrateProject, *LIFE)
ARGUMENTS = {**MORE, RotateSecret: ("databasePassword",)}
OF_ALL = {
    kind: kind(*more)
    for kind, *more in (
        (MigrateFleet,),
        (VacuumFleet,),
        (RotateFleet, "jwtSecret"),
        (PrunePlatform,),
        (VacuumPlatform,),
    )
}
KINDS = (*OF_A_PROJECT, *OF_ALL)
SECONDS = 5.0


class Request:
    """Stands where a crash point would: at its place somebody asks for the job to be cancelled."""

    def __init__(self, infra, job, step: str, point: str) -> None:
        self._infra, self._job, self._place = infra, job, (step, point)
        self.at: float | None = None
        self.refused = False
        self.asking = threading.Thread(target=self._ask, daemon=True)

    def die_if_reached(self, _kind: str, step: str, point: str) -> None:
        if (step, point) != self._place or self.at is not None:
            return
        self.at = time.monotonic()
        # A request may have to wait for the open transaction of the step at hand, which has to go on for that.
        self.asking.start()
        self.asking.join(0.5)

    def _ask(self) -> None:
        try:
            with self._infra.database.transaction() as tx:
                cancel(tx, self._job.id, by="somebody")
        except JobConflict:
            self.refused = True


# Whose every step is cancelled in every run; of the others a part, by seed.
WHOLE, PART = (ProvisionProject, DeleteProject), 0.4


def cases():
    """Every kind, step, and whether the request comes as it begins or as it ends."""
    for arguments in KINDS:
        # A project that is deleted leaves a last backup.
        gpg = [pytest.mark.gpg] if arguments is DeleteProject else []
        for step in arguments.kind.steps:
            for point in ("before_act", "after_act"):
                name = f"{arguments.kind.name}:{step.name}:{point}"
                always = point == ALWAYS and (arguments in WHOLE or chance("cancel", name).random() < PART)
                marks = [*gpg, *(() if always else (pytest.mark.full,))]
                yield pytest.param(arguments, step, point, id=name, marks=marks)


@pytest.mark.parametrize(("arguments", "step", "point"), list(cases()))
def test_a_cancel_is_heeded_or_refused_and_leaves_nothing(arguments, step, point, settings, installation):  # noqa: F811
    infra = installation
    fresh = arguments is ProvisionProject
    project = add_project(infra) if fresh else prepare(settings, infra, LIFE.get(arguments, ()))
    try:
        if arguments is DeleteProject:
            mark_deleting(infra, project)
        job = write(infra, OF_ALL.get(arguments) or arguments(project, *ARGUMENTS.get(arguments, ())))
        leases = Leases(infra.database, settings, worker="here")
        runner = Runner(infra, leases, worker="here", queues=["control", "bulk"], serves=sorted(kinds.kinds()))
        runner.crash = request = Request(infra, job, step.name, point)
        with beating(leases):
            while runner.run_one():
                pass
        assert request.at is not None, "the step was not reached"
        request.asking.join(SECONDS)
        assert time.monotonic() - request.at < SECONDS
        with infra.database.autocommit() as tx:
            ended = find(tx, job.id)
        declared = arguments.kind.steps
        too_late = any(one.no_return for one in declared[: declared.index(step) + 1])
        assert request.refused == too_late
        last = step is declared[-1]  # no safe point comes after it: it may be too late unsaid
        assert ended.status in ({"succeeded"} if too_late else {"cancelled", "succeeded"} if last else {"cancelled"})
        left = seen(infra, project)
        assert "orphan" not in {verdict for _kind, _name, verdict in left}
        if ended.status == "cancelled" and arguments is ProvisionProject:
            assert left == []
        if ended.status == "cancelled" and arguments is DeleteProject:
            assert status(infra, project) == "active"
            assert ("instance", project, "owned") in left or any(kind == "instance" for kind, *_ in left)
        if ended.status == "succeeded" and arguments is DeleteProject:
            assert (left, status(infra, project)) == ([], "deleted")
    finally:
        drop(infra, project)
