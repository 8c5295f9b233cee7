"""From a database to the file of a set: dumped, compressed and encrypted in one go, and what it held at that moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.backup import archive, sets
from infra.backup.dumps import FORMS, PostgresPrograms
from infra.backup.fingerprint import Fingerprint, open_reader
from infra.errors import Unavailable
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from config.settings import Settings
    from infra.backup.monitor import ProgressMonitor
    from infra.backup.objects.part import ObjectsPart
    from infra.backup.objects.totals import CopiedPart
    from infra.backup.set_plan import DumpSource, SetPlan
    from infra.backup.sets import Manifest
    from infra.gpg import Gpg


@dataclass(frozen=True)
class SetFile:
    """Where a dump goes, and by what.

    settings  which say where pg_dump is
    key       what it is encrypted with
    """

    path: Path
    settings: Settings
    gpg: Gpg
    key: str = field(repr=False)


@dataclass(frozen=True)
class Dumped:
    """What was dumped into a file, and what the database held at that moment."""

    stored: archive.StoredFile
    contents: Fingerprint
    size: int
    server: str
    schema: str
    written: str

    def manifest(self, plan: SetPlan, key: str, copied: CopiedPart) -> Manifest:
        """Return the manifest of the set that this is, with the files that were copied."""
        found = {"contents": self.contents.to_json(), "scope": plan.scope, "written": self.written}
        if remarks := copied.totals.said():
            found["fileRemarks"] = remarks
        return plan.manifest(
            self.stored,
            copied,
            postgres=self.server,
            schema=self.schema or plan.schema,
            database_bytes=self.size,
            details=sets.seal_details(key, {**plan.details, **found}),
        )


def dump(
    source: DumpSource, plan: SetPlan, target: SetFile, monitor: ProgressMonitor, part: ObjectsPart | None = None
) -> Dumped:
    """Write a database into a file that does not exist. Raises DiskFull, Unavailable; then nothing is left of it.

    part  told of the files that there are at the same moment
    """
    with (
        _as_unavailable(),
        open_reader(source.cluster, source.uri, source.session, project=source.project, check=monitor.check) as look,
        ThreadPoolExecutor(1) as beside,
    ):
        size = look.size()
        archive.ensure_room(target.path.parent, plan.expected_bytes(size))
        programs, form = PostgresPrograms.of(target.settings), plan.format
        with programs.dump(source.uri, form, snapshot=look.snapshot, session=source.session) as plain:
            # What it holds is counted while it is dumped: both see the same moment.
            counted = beside.submit(look.read, lambda: None)
            told = monitor.of_bytes(size)
            stored = archive.store_file(plain, target.path, FORMS[form], target.gpg, target.key, told)
        contents = look.with_final_sequences(counted.result())
        if part is not None:
            part.keep_rows(look.session)
        return Dumped(stored, contents, size, look.server, look.schema(), look.written)


def is_of_now(details: Mapping[str, Any], source: DumpSource, check: Callable[[], None]) -> bool:
    """Return whether nothing was written to a database since the set with these details, nor a number given out.

    Numbers of a sequence count as nothing written; those that were given out while it was dumped may not be in it.
    Raises Unavailable.
    """
    kept = Fingerprint.from_json(details["contents"])
    with open_reader(source.cluster, source.uri, source.session, check=check) as look:
        return details.get("written") == look.written and kept.figures == kept.later == look.figures()


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """Retry what ended badly: the server may be away, a lock be held, a password just be changed."""
    try:
        yield
    except ProgramFailed as error:
        raise Unavailable(str(error)) from error
