"""Sets that lie on the other machine come here, with the copies of files that they need and that are not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.backup.set_names import stem_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from infra.backup.offsite import Offsite
    from infra.backup.store import BackupStore


def pull_sets(there: Offsite, store: BackupStore, incoming: Path, stems: Collection[str]) -> Iterator[str]:
    """Fetch sets by way of a folder of ours, check them and take them in; return each by its name once it is here.

    Raises Refused, naming what was changed, Unavailable; what was fetched then is not fetched again.
    """
    there.fetch(incoming, [name for name in there.list_files() if stem_of(name) in stems], lambda _done: None)
    for stem in sorted(stems):
        # What several sets need comes with the first of them.
        there.fetch(incoming, store.objects.missing(incoming, stem), lambda _done: None)
        store.receive(incoming, stem)
        yield stem
