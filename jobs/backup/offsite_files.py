"""The copies of projects' files on the other machine: what a set that goes there needs, and no longer than one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra import files
from infra.backup.offsite_names import CONTENT
from infra.backup.set_names import listing_name, manifest_name, owner_of
from infra.errors import Refused
from infra.postgres.sql import statements
from jobs.backup import backups

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from infra.backup.offsite import Offsite
    from infra.backup.store import BackupStore
    from jobs.engine.run import Run

SQL = statements(__file__)


def copy_files(run: Run[Any], offsite: Offsite, new: Collection[str], doomed: Collection[str]) -> None:
    """Copy what lies here and not there of the projects of these sets. Raises Refused, Unavailable.

    new     sets that are not known to be there; what they need goes there before they do
    doomed  sets that would be removed there for their age: what they alone need does not go
    """
    store, folder = backups.store(run.infra), run.infra.settings.backups_folder
    old = {owner_of(stem) for stem in doomed}
    for owner in sorted({owner_of(stem) for stem in new} & set(store.objects.owners())):
        with store.objects.reading(owner, run.check):
            here = store.objects.sizes(owner)
            if owner in old:
                kept = [stem for stem in store.stems() if owner_of(stem) == owner and stem not in doomed]
                needed = store.objects.needed(store.read(stem) for stem in kept)
                here = {name: size for name, size in here.items() if name in needed}
            there = offsite.list_contents(owner)
            _remove(run, offsite, [name for name in there if CONTENT.fullmatch(name) is None])
            missing = [name for name, size in here.items() if there.get(name) != size]
            offsite.send(folder, missing, _look(run, sum(here[name] for name in missing)))


def differing_sets(run: Run[Any], offsite: Offsite, new: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Return which of the sets need a copy that is not there as it is here, each with the first such copy.

    known  sets of which it was seen already that all they need is there; what a new one shares with them is not read
           again
    """
    store, wrong = backups.store(run.infra), dict[str, str]()
    for owner in sorted({owner_of(stem) for stem in new} & set(store.objects.owners())):
        seen = [stem for stem in store.stems() if owner_of(stem) == owner and stem in known][-1:]
        right = store.objects.needed(store.read(stem) for stem in seen)
        of = {stem: store.objects.needed([store.read(stem)]) - right for stem in new if owner_of(stem) == owner}
        run.check()
        differing = set(offsite.differing_files(run.infra.settings.backups_folder, sorted(set().union(*of.values()))))
        wrong |= {stem: min(needed & differing) for stem, needed in of.items() if needed & differing}
    return wrong


def remove_unneeded_files(run: Run[Any], offsite: Offsite, left: Collection[str], gone: Collection[str]) -> None:
    """Remove there what no set there needs any more.

    left  the sets that lie there; gone: those that were removed

    Copies of a project that is unknown here stay. Raises Refused, Unavailable.
    """
    owners = {owner_of(stem) for stem in gone} | (set(offsite.list_owners()) - {owner_of(stem) for stem in left})
    for owner in sorted(owners):
        with run.infra.database.autocommit() as tx:
            if not tx.value(SQL.is_known, {"owner": owner}):
                continue
        try:
            needed = _needed_there(run, offsite, [stem for stem in left if owner_of(stem) == owner])
        except Refused as error:
            run.log(f"copies of files of {owner} stay on the other machine: {error}")
            continue
        _remove(run, offsite, [name for name in offsite.list_contents(owner) if name not in needed])


def _needed_there(run: Run[Any], offsite: Offsite, stems: list[str]) -> set[str]:
    store: BackupStore = backups.store(run.infra)
    here = [stem for stem in stems if store.has(stem)]
    needed = store.objects.needed(store.read(stem) for stem in here)
    elsewhere = [stem for stem in stems if stem not in here]
    folder = files.ensure_folder(run.infra.settings.run_folder / "listings")
    for stem in elsewhere:
        run.check()
        there = offsite.list_files()
        wanted = [name for name in (manifest_name(stem), listing_name(stem)) if name in there]
        try:
            offsite.fetch(folder, wanted, lambda _done: None)
            needed |= store.objects.needed([store.read(stem, folder)], folder)
        finally:
            for name in wanted:
                (folder / name).unlink(missing_ok=True)
    return needed


def _remove(run: Run[Any], offsite: Offsite, names: list[str]) -> None:
    empty = files.ensure_folder(run.infra.settings.run_folder / "empty")
    if any(empty.iterdir()):
        raise Refused(f"{empty} must hold nothing")
    offsite.remove_contents(empty, names)


def _look(run: Run[Any], total: int) -> Callable[[int], None]:
    def look(done: int) -> None:
        run.check()
        run.progress(min(done, total), total)

    return look
