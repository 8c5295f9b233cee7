"""platform.offsite_sync: whole backups are copied to another machine, and checked there byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from infra import files
from infra.backup.offsite import Offsite
from infra.backup.set_names import is_manifest, stem_of, whole
from infra.backup.store import BackupStore
from infra.errors import Refused
from jobs.backup import offsite_files
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, Step, kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.engine.run import Run


def copy_sets(run: Run[SyncOffsite]) -> None:
    """Copy every whole set that lies here to the other machine; what it has besides stays.

    Raises HostKeyChanged, Refused, Unavailable.
    """
    offsite, folder = Offsite(run.infra.settings), run.infra.settings.backups_folder
    run.check()
    offsite.remove_leftovers(files.ensure_folder(run.infra.settings.run_folder / "empty"))
    there, here = offsite.list_files(), BackupStore(run.infra.settings).files()
    # What would be removed there for its age is not copied first.
    doomed = _doomed(run, set(whole((*there, *here))))
    missing = [name for name, size in here.items() if there.get(name) != size and stem_of(name) not in doomed]
    with run.infra.database.autocommit() as tx:
        known = catalogue.offsite_stems(tx)
    offsite_files.copy_files(run, offsite, set(whole(here)) - known - set(doomed), doomed)
    # The manifests last: without one there is no backup, there as here.
    parts = [[name for name in missing if is_manifest(name) is last] for last in (False, True)]
    total = sum((folder / name).stat().st_size for name in missing)
    before = 0
    for part in parts:
        offsite.send(folder, part, _look(run, before, total))
        before += sum((folder / name).stat().st_size for name in part)


def compare_copies(run: Run[SyncOffsite]) -> None:
    """Compare what is not known to be there yet, and write down what is. Raises GiveUp, naming what differs."""
    with run.infra.database.autocommit() as tx:
        known = catalogue.offsite_stems(tx)
    offsite = Offsite(run.infra.settings)
    run.check()
    there = offsite.list_files()
    new = [name for name in BackupStore(run.infra.settings).files() if name in there and stem_of(name) not in known]
    wrong = offsite.differing_files(run.infra.settings.backups_folder, new)
    unlike = offsite_files.differing_sets(run, offsite, set(whole(new)), known)
    right = {stem_of(name) for name in new} - {stem_of(name) for name in wrong} - set(unlike)
    wrong += unlike.values()
    with run.transaction() as tx:
        catalogue.set_offsite(tx, sorted(right))
    if wrong:
        raise GiveUp(f"these files differ on the other machine: {', '.join(wrong)}")


def remove_old_copies(run: Run[SyncOffsite]) -> None:
    """Remove copies that are old enough, of projects of which a newer, proven backup is there too."""
    settings, offsite = run.infra.settings, Offsite(run.infra.settings)
    run.check()
    there = offsite.list_files()
    copied = whole(there)
    doomed = _doomed(run, set(copied))
    empty = files.ensure_folder(settings.run_folder / "empty")
    if any(empty.iterdir()):
        raise Refused(f"{empty} must hold nothing")
    for done, stem in enumerate(doomed):
        run.check()
        run.progress(done, len(doomed), stem)
        offsite.remove(empty, [name for name in there if stem_of(name) == stem])
        run.log(f"removed the copy of {stem}")
    if settings.offsite_retention_days:
        offsite_files.remove_unneeded_files(run, offsite, set(copied) - set(doomed), doomed)
    run.result["there"] = len(copied) - len(doomed)


def _doomed(run: Run[SyncOffsite], stems: set[str]) -> list[str]:
    settings = run.infra.settings
    if not settings.offsite_retention_days:
        return []
    kept = {"days": settings.offsite_retention_days, "count": settings.backup_retention_count}
    with run.infra.database.autocommit() as tx:
        return catalogue.expired_offsite(tx, sorted(stems), **kept)


def _look(run: Run[SyncOffsite], before: int, total: int) -> Callable[[int], None]:
    def look(done: int) -> None:
        run.check()
        run.progress(min(before + done, total), total)

    return look


@kind(
    "platform.offsite_sync",
    steps=(
        Step(copy_sets, long=True, title="Copy missing backups"),
        Step(compare_copies, long=True, title="Compare byte for byte"),
        Step(remove_old_copies, long=True),
    ),
    queue=BULK,
    lane=None,
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class SyncOffsite:
    """Copies backups to another machine."""
