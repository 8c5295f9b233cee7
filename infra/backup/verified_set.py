"""A set whose bytes were all read and found to be what was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.backup.differences import differences
from infra.backup.fingerprint import Fingerprint, open_reader
from infra.backup.monitor import UNWATCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from infra.backup.differences import Difference
    from infra.backup.objects.returning import ReturningFiles
    from infra.backup.set_plan import DumpSource
    from infra.backup.sets import Manifest


@dataclass(frozen=True)
class VerifiedSet:
    """A set that was checked: every byte of it is what was written.

    details  what was sealed in its manifest
    files    the project's files in it; None where it holds none
    """

    manifest: Manifest
    key: str = field(repr=False)
    details: dict[str, Any] = field(repr=False)
    files: ReturningFiles | None = None

    @property
    def file_remarks(self) -> list[str]:
        """What is to be said of files that were not whole when they were backed up."""
        return list(self.details.get("fileRemarks", ()))

    @property
    def contents(self) -> Fingerprint:
        """What the database held."""
        return Fingerprint.from_json(self.details["contents"])

    def compare(
        self,
        restored: DumpSource,
        *,
        stand_ins: Mapping[str, str] | None = None,
        without: Collection[str] = (),
        check: Callable[[], None] = UNWATCHED.check,
    ) -> list[Difference]:
        """Return in what a restored database differs from what was backed up. Raises Unavailable.

        stand_ins  roles that stand for others there, by name
        without    schemas that the database has and the backup does not, which is as it should be
        """
        kept, named = self.contents, stand_ins or {}
        at = restored
        with open_reader(at.cluster, at.uri, at.session, project=at.project, stand_ins=named, check=check) as look:
            found = look.read_like(kept, self.manifest.scope if restored.project else "", check)
        for schema in without:
            found = found.without(schema)
        return differences(kept, found)
