"""Deletions under random deaths: each ends, and the last backup of each brings back what its project held."""

from __future__ import annotations

import time

import psycopg
import pytest

from catalog import backups
from jobs.engine.table import FINAL, find
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.project.delete import DeleteProject
from tests.crash.attempts import Attempt
from tests.crash.carrying import installation, pass_on, seen, status, write
from tests.crash.place import ROWS, Place, carry_on
from tests.crash.places import chance
from tests.fixtures.halfway import end_backends

__all__ = ["installation"]
pytestmark = pytest.mark.gpg
SEEDS, SEEDS_IN_FULL = 3, 100
# A deletion takes about so long; a worker dies within a little more, so that some come to the end.
MOST_SECONDS, DEATHS = 2.5, 3


def deleted_under_fire(place: Place, seed: int) -> list[float]:
    """Delete a project while one worker after the other dies at a random moment; return when they died."""
    random, infra = chance("deletes", seed), place.infra
    place.set_status("deleting")
    job, died = write(infra, DeleteProject(place.id)), []
    for _death in range(random.randint(1, DEATHS)):
        with Attempt(place.settings) as worker:
            died.append(random.uniform(0.2, MOST_SECONDS))
            deadline = time.monotonic() + died[-1]
            while worker.runs and time.monotonic() < deadline:
                time.sleep(0.01)
            worker.kill()
        end_backends(place.settings.database_url, f"launchdb:{job.id}:%")
        pass_on(infra)
        with infra.database.autocommit() as tx:
            if find(tx, job.id).status in FINAL:
                break
    carry_on(infra, job)
    return died


def comes_back(place: Place) -> None:
    """The project is gone; its last backup is there, and listed, and is what it was."""
    infra = place.infra
    assert (status(infra, place.id), seen(infra, place.id)) == ("deleted", [])
    with infra.database.autocommit() as tx:
        (last,) = backups.page(tx, place.id, before=None, limit=5)
    assert last.final
    place.set_status("restoring")
    place.run(RestoreProject(place.id, last.id))
    with psycopg.connect(infra.database.conninfo, dbname=place.id) as admin:
        assert admin.execute("SELECT count(*) FROM public.notes").fetchone() == (ROWS,)


def campaign(settings, infra, seeds) -> None:
    for seed in seeds:
        place = Place(settings, infra, backed_up=False)
        died: list[float] = []
        try:
            died = deleted_under_fire(place, seed)
            comes_back(place)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, workers died after {died}: {error}") from error
        finally:
            place.close()


def test_deletes_under_random_deaths_all_end_with_their_last_backup(settings, installation):
    campaign(settings, installation, range(SEEDS))


@pytest.mark.full
def test_a_hundred_deletes_under_random_deaths_all_end_with_their_last_backup(settings, installation):
    campaign(settings, installation, range(SEEDS, SEEDS_IN_FULL))
