"""What is backed up, and as what: decided by whoever asks for a backup, before anything of it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.backup.set_names import file_name, listing_name
from infra.backup.sets import Manifest, SetFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.backup.archive import StoredFile
    from infra.backup.dumps import Format
    from infra.backup.objects.totals import CopiedPart
    from infra.postgres.cluster import Cluster

DATABASE, FILES = "database", "files"


@dataclass(frozen=True)
class SetPlan:
    """What a set is to be, decided before anything of it is written.

    id, scope, stem  the backup's own id, whose it is (a project's id, or 'platform'), what its files' names begin with
    created_at       when it was begun, ISO 8601
    key_id           the key that it is encrypted with
    schema           the newest project migration, for a database that does not say its own
    details          what is sealed in the manifest beside what is found
    last             bytes of the newest set of the same scope, and of the database then; 0, 0 where there is none
    """

    id: str
    scope: str
    stem: str
    created_at: str
    format: Format
    key_id: str
    schema: str
    details: Mapping[str, Any] = field(repr=False)
    last: tuple[int, int] = (0, 0)

    def expected_bytes(self, database_bytes: int) -> int:
        """Return how large the file will be, about: like the last one, or half of a database that has none yet."""
        last, of_database = self.last
        if not last or not of_database:
            return database_bytes // 2
        return int(1.2 * last * max(1.0, database_bytes / of_database))

    def manifest(
        self,
        stored: StoredFile,
        copied: CopiedPart,
        *,
        postgres: str,
        schema: str,
        database_bytes: int,
        details: str,
    ) -> Manifest:
        """Return the manifest of the set, once its files are there. details: sealed."""
        parts = [SetFile(file_name(self.stem, self.format), DATABASE, stored.bytes, stored.sha256, stored.plain_bytes)]
        if (listed := copied.stored) is not None:
            name = listing_name(self.stem)
            parts.append(SetFile(name, FILES, listed.bytes, listed.sha256, listed.plain_bytes))
        return Manifest(
            id=self.id,
            scope=self.scope,
            stem=self.stem,
            created_at=self.created_at,
            format=self.format,
            postgres=postgres,
            schema=schema,
            key_id=self.key_id,
            database_bytes=database_bytes,
            files=tuple(parts),
            details=details,
            objects=copied.totals.objects,
            object_bytes=copied.totals.bytes,
            added_bytes=copied.totals.added,
        )


@dataclass(frozen=True)
class DumpSource:
    """A database that is looked at, or dumped.

    cluster  by whom a session of its login is ended that has to go
    uri      by which its login reads everything in it
    session  the name of the sessions in it
    project  the id that stands in its roles' names; empty for the platform's own
    """

    cluster: Cluster
    uri: str = field(repr=False)
    session: str
    project: str = ""
