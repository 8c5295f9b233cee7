"""platform.offsite_sync: whole backups are copied to another machine, and checked there byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from infra import files
from infra.backup import sets
from infra.backup.offsite import Offsite
from infra.errors import Refused
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, Step, kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.engine.run import Run


def copy_sets(run: Run[SyncOffsite]) -> None:
    """Let the other machine have every whole set that lies here; what it has besides stays.

    Raises HostKeyChanged, Refused, Unavailable.
    """
    offsite, folder = Offsite(run.infra.settings), run.infra.settings.backups_folder
    run.check()
    offsite.tidy(files.folder(run.infra.settings.run_folder / "empty"))
    there, here = offsite.listing(), _files(run)
    # What would be removed there for its age is not copied first.
    doomed = _doomed(run, {_stem(name) for name in (*there, *here) if name.endswith(sets.SUFFIX)})
    missing = [name for name, size in here.items() if there.get(name) != size and _stem(name) not in doomed]
    # The manifests last: without one there is no backup, there as here.
    parts = [[name for name in missing if name.endswith(sets.SUFFIX) is last] for last in (False, True)]
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
    there = offsite.listing()
    new = [name for name in _files(run) if name in there and _stem(name) not in known]
    wrong = offsite.differing(run.infra.settings.backups_folder, new)
    right = {_stem(name) for name in new} - {_stem(name) for name in wrong}
    with run.transaction() as tx:
        catalogue.set_offsite(tx, sorted(right))
    if wrong:
        raise GiveUp(f"these files differ on the other machine: {', '.join(wrong)}")


def remove_old_copies(run: Run[SyncOffsite]) -> None:
    """Remove copies that are old enough, of projects of which a newer, proven backup is there too."""
    settings, offsite = run.infra.settings, Offsite(run.infra.settings)
    run.check()
    there = offsite.listing()
    whole = {_stem(name) for name in there if name.endswith(sets.SUFFIX)}
    doomed = _doomed(run, whole)
    empty = files.folder(settings.run_folder / "empty")
    if any(empty.iterdir()):
        raise Refused(f"{empty} must hold nothing")
    for done, stem in enumerate(doomed):
        run.check()
        run.progress(done, len(doomed), stem)
        offsite.remove(empty, [name for name in there if _stem(name) == stem])
        run.log(f"removed the copy of {stem}")
    run.result["there"] = len(whole) - len(doomed)


def _files(run: Run[SyncOffsite]) -> dict[str, int]:
    """Return the files of every whole set that lies here, with their sizes."""
    folder = run.infra.settings.backups_folder
    stems = set(sets.stems(folder))
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _stem(path.name) in stems and path.is_file():
            found[path.name] = path.stat().st_size
    return found


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _doomed(run: Run[SyncOffsite], stems: set[str]) -> list[str]:
    settings = run.infra.settings
    if not settings.offsite_retention_days:
        return []
    kept = {"days": settings.offsite_retention_days, "count": settings.backup_retention_count}
    with run.infra.database.autocommit() as tx:
        return catalogue.doomed_offsite(tx, sorted(stems), **kept)


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
