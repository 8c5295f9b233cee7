"""The files of projects over all sets of a folder: which contents a set needs, and which no set needs any more."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from infra.backup import keys, sets
from infra.backup.archive import BackupDamaged
from infra.backup.differences import shortened
from infra.backup.monitor import UNWATCHED
from infra.backup.objects import contents
from infra.backup.objects.contents import ContentStore
from infra.backup.objects.listing import ListingFile
from infra.backup.objects.part import ObjectsPart, PartTarget
from infra.backup.objects.returning import ReturningFiles
from infra.backup.set_names import owner_of
from infra.backup.set_plan import FILES
from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from infra.backup.monitor import ProgressMonitor
    from infra.backup.objects.part import ObjectSource
    from infra.backup.sets import Manifest
    from infra.gpg import Gpg


class FilesOfSets:
    """What a folder of sets holds of projects' files.

    secrets  the folder of the keys
    """

    def __init__(self, folder: Path, secrets: Path, gpg: Gpg) -> None:
        self._folder, self._secrets, self._gpg = folder, secrets, gpg

    def contents(self, stem: str) -> ContentStore:
        """Return where the contents of a set's files are: beside those of the same project's other sets."""
        return ContentStore(self._folder, owner_of(stem), self._gpg)

    def listing(self, manifest: Manifest, folder: Path | None = None) -> ListingFile | None:
        """Return what a set says of its files; None when it holds none. folder: where the set lies, if elsewhere."""
        file = manifest.file(FILES)
        if file is None:
            return None
        key = keys.backup_keys(self._secrets)[manifest.key_id]
        return ListingFile((folder or self._folder) / file.name, self._gpg, key)

    def returning(self, manifest: Manifest) -> ReturningFiles | None:
        """Return what reads a set's files back; None when it holds none."""
        listing = self.listing(manifest)
        if listing is None:
            return None
        return ReturningFiles(listing, self.contents(manifest.stem), manifest.object_bytes or 0)

    def part(self, stem: str, key_id: str, source: ObjectSource, monitor: ProgressMonitor) -> ObjectsPart:
        """Return what writes the files of a set."""
        return ObjectsPart(self.target(stem, key_id), source, monitor)

    def target(self, stem: str, key_id: str) -> PartTarget:
        """Return where the files of a set go."""
        key = keys.backup_keys(self._secrets)[key_id]
        before = partial(self._before, stem, key_id)
        return PartTarget(self._folder, stem, self.contents(stem), self._gpg, key, before)

    def named(self, manifests: Iterable[Manifest], folder: Path | None = None) -> set[str]:
        """Return the names of the contents that these sets need. Raises Damaged, Refused when a key is not kept."""
        names: set[str] = set()
        for listing in (self.listing(manifest, folder) for manifest in manifests):
            if listing is not None:
                with listing.open() as found:
                    names.update(stored.content.name for stored in found if stored.content is not None)
        return names

    def needed(self, manifests: Iterable[Manifest], folder: Path | None = None) -> set[str]:
        """Return the contents that these sets need as paths below the folder of sets. Raises as `named`."""
        return {
            self.contents(manifest.stem).relative(name)
            for manifest in manifests
            for name in self.named([manifest], folder)
        }

    def sizes(self, owner: str) -> dict[str, int]:
        """Return the contents that are here as such paths, with their sizes in bytes."""
        store = ContentStore(self._folder, owner, self._gpg)
        return {store.relative(name): size for name, size in store.sizes().items()}

    def owners(self) -> list[str]:
        """Return of which projects there are contents here."""
        return contents.owners(self._folder)

    @contextmanager
    def reading(self, owner: str, check: Callable[[], None]) -> Iterator[None]:
        """Keep the contents of a project from being removed meanwhile. check: called while somebody is removing."""
        with ContentStore(self._folder, owner, self._gpg).reading(check):
            yield

    def missing(self, incoming: Path, stem: str) -> list[str]:
        """Return the contents that a set in another folder needs and that are not here, as paths. Raises as `named`."""
        manifest = sets.read_manifest(incoming, stem, keys.backup_keys(self._secrets))
        return sorted(self.needed([manifest], incoming) - set(self.sizes(owner_of(stem))))

    @contextmanager
    def received(self, incoming: Path, manifest: Manifest) -> Iterator[None]:
        """Take in the contents that a set in another folder needs; nobody takes them for left over meanwhile.

        Raises Damaged, naming what is missing or was changed.
        """
        listing = self.listing(manifest, incoming)
        if listing is None:
            yield
            return
        store = self.contents(manifest.stem)
        with store.writing(UNWATCHED.check):
            for name in self.named([manifest], incoming):
                if (file := incoming / store.relative(name)).is_file():
                    store.take_in(name, file)
            store.make_lasting()
            returning = ReturningFiles(listing, store, manifest.object_bytes or 0)
            if wrong := list(returning.faults(UNWATCHED, thorough=False)):
                raise BackupDamaged(f"{manifest.stem} does not hold all files: {'; '.join(shortened(wrong))}")
            yield

    def unswept(self) -> list[str]:
        """Return the projects of which there may be contents that no set needs."""
        return [
            owner
            for owner in contents.owners(self._folder)
            if ContentStore(self._folder, owner, self._gpg).is_unswept()
        ]

    def sweep(self, owner: str) -> int:
        """Remove the contents that no set of a project's needs; return how many went.

        While a backup is written nothing goes, it may be about to name what is there; nor while it is not known of some
        set what it needs. Raises Refused then, naming it, and Damaged.
        """
        with ContentStore(self._folder, owner, self._gpg).sweeping() as alone:
            if not alone:
                return 0
            known = keys.backup_keys(self._secrets)
            stems = [stem for stem in sets.stems(self._folder) if owner_of(stem) == owner]
            named = self.named(sets.read_manifest(self._folder, stem, known) for stem in stems)
            return ContentStore(self._folder, owner, self._gpg).remove_unnamed(named)

    def _before(self, stem: str, key_id: str) -> ListingFile | None:
        """Return the listing of the newest set of the same project and key that holds files."""
        known = keys.backup_keys(self._secrets)
        for other in reversed(sets.stems(self._folder)):
            if owner_of(other) != owner_of(stem):
                continue
            try:
                manifest = sets.read_manifest(self._folder, other, known)
            except Refused:
                continue
            if manifest.key_id == key_id and (found := self.listing(manifest)) is not None:
                return found
        return None
