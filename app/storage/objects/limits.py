"""What a bucket and a project let in: how large, of which types, and how much in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.storage.errors import invalid_mime, no_such_bucket, over_quota, too_large
from app.storage.objects import content
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.serve.project import StorageProject
    from app.storage.serve.transaction import StorageTransaction

SQL = statements(__file__)
PLACEHOLDER = ".emptyFolderPlaceholder"
MB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What may come. types: the media types that the bucket takes; None: any. left: of the quota, in bytes, or None."""

    bytes_max: int
    types: tuple[str, ...] | None
    left: int | None

    def check_length(self, length: int) -> None:
        """Raise StorageError when so many bytes are too many."""
        if length > self.bytes_max:
            raise too_large()
        if self.left is not None and length > self.left:
            raise over_quota()

    def check_type(self, stated: str) -> None:
        """Raise StorageError when the bucket does not take this media type."""
        if self.types is not None and not matches(stated, self.types):
            raise invalid_mime(f"mime type {stated} is not supported")

    def check_content(self, beginning: bytes) -> None:
        """Raise StorageError when the bytes are, by how they begin, of a type that the bucket does not take."""
        found = content.type_of(beginning) if self.types is not None else None
        if found is not None and self.types is not None and not any(takes(each, self.types) for each in found):
            raise invalid_mime(f"mime type {found[0]} is not supported")


def limits_of(tx: StorageTransaction, project: StorageProject, bucket: str, key: str) -> Limits:
    """Return what may come under a key, read as Storage's login. Raises StorageError when there is no such bucket."""
    found = tx.row(SQL.bucket, {"id": bucket})
    if found is None:
        raise no_such_bucket()
    left = None
    if quota := project.settings.storage_quota_mb * MB:
        left = max(0, quota - _used(tx)["bytes"])
    if key.rpartition("/")[2] == PLACEHOLDER:
        return Limits(0, None, left)
    return Limits(_smallest(found, project.settings.file_bytes), _types(found), left)


def check_quota(tx: StorageTransaction, project: StorageProject) -> None:
    """Raise StorageError when, with what the transaction has changed, there is more than the project may keep."""
    bytes_max, objects_max = project.settings.storage_quota_mb * MB, project.settings.storage_quota_objects
    if not bytes_max and not objects_max:
        return
    used = _used(tx)
    if (bytes_max and used["bytes"] > bytes_max) or (objects_max and used["objects"] > objects_max):
        raise over_quota()


def _used(tx: StorageTransaction) -> dict[str, int]:
    return tx.row(SQL.used) or {"bytes": 0, "objects": 0}


def matches(stated: str, types: tuple[str, ...]) -> bool:
    """Return whether a media type, whatever its parameters, is one of these; `image/*` is all of a kind."""
    plain = stated.partition(";")[0].strip().lower()
    kind = plain.partition("/")[0]
    allowed = {each.partition(";")[0].strip().lower() for each in types}
    return bool(allowed & {plain, f"{kind}/*", "*/*"})


def takes(content_type: str, types: tuple[str, ...]) -> bool:
    """Return whether bytes of a type may be in a bucket of these: one picture is as good as another, or one sound."""
    kind = content_type.partition("/")[0]
    alike = kind in content.INERT_KINDS and content_type not in content.ACTIVE_TYPES
    return matches(content_type, types) or (alike and any(each.lower().startswith(f"{kind}/") for each in types))


def _smallest(bucket: Mapping[str, Any], of_project: int) -> int:
    limit = bucket["file_size_limit"]
    return of_project if limit is None else min(int(limit), of_project)


def _types(bucket: Mapping[str, Any]) -> tuple[str, ...] | None:
    return tuple(bucket["allowed_mime_types"]) if bucket["allowed_mime_types"] else None
