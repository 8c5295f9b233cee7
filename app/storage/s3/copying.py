"""Objects that are made of others: CopyObject, and the headers that say of what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from app.storage.moments import moment
from app.storage.objects.moving import Way, make_copy
from app.storage.objects.ranges import verdict
from app.storage.s3 import errors, headers
from app.storage.s3.buckets import answer
from app.storage.s3.xml import document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.objects.found import FoundObject
    from app.storage.serve.call import StorageAnswer, StorageCall

SOURCE = "X-Amz-Copy-Source"
CONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
_SOURCE = re.compile(r"/?([^/?]+)/([^?]+)(?:\?versionId=(.*))?", re.DOTALL)


@dataclass(frozen=True)
class CopySource:
    """What is copied: an object's bucket and key."""

    bucket: str
    key: str

    @classmethod
    def of(cls, stated: Mapping[str, str]) -> CopySource:
        """Read it from the headers. Raises StorageError."""
        found = _SOURCE.fullmatch(stated.get(SOURCE) or "")
        if found is None:
            raise errors.invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
        if found[3] not in (None, "null"):
            raise errors.not_implemented("Copying a version")
        return cls(unquote(found[1]), unquote(found[2]))


def check_conditions(stated: Mapping[str, str], found: FoundObject) -> None:
    """Raise StorageError unless what is copied is what the headers ask for."""
    wanted = {name: stated[f"{SOURCE}-{name}"] for name in CONDITIONS if stated.get(f"{SOURCE}-{name}")}
    if wanted and verdict(wanted, found.etag, found.updated_at) != "whole":
        raise errors.precondition_failed()


def copy(call: StorageCall) -> StorageAnswer:
    """Make an object of another, with its metadata or with those of the request."""
    source, bucket, key = CopySource.of(call.headers), call.path["bucket"], headers.key_to_store(call, None)
    way = Way(source.bucket, source.key, bucket, key)
    directive = (call.headers.get("X-Amz-Metadata-Directive") or "COPY").upper()
    if directive not in ("COPY", "REPLACE"):
        raise errors.invalid_argument("Unknown metadata directive.")
    if way.goes_nowhere and directive == "COPY":
        raise errors.refusal(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )

    def kept(found: FoundObject) -> tuple[dict[str, Any], dict[str, Any] | None]:
        check_conditions(call.headers, found)
        return _replaced(call, found) if directive == "REPLACE" else (_dated(found.metadata), found.user_metadata)

    upsert, first = not headers.is_new_only(call.headers), headers.replaced_only(call, bucket, key)
    copied = make_copy(call, way, kept, upsert=upsert, first=first)
    return answer(document("CopyObjectResult", result(copied.metadata["eTag"])))


def result(etag: Any) -> dict[str, Any]:
    """Return what is answered of a copy."""
    return {"LastModified": moment(datetime.now(UTC)), "ETag": etag}


def _replaced(call: StorageCall, found: FoundObject) -> tuple[dict[str, Any], dict[str, Any] | None]:
    incoming = headers.incoming_of(call)
    kept = {name: value for name, value in found.metadata.items() if name not in headers.MORE.values()}
    return _dated({**kept, **incoming.metadata(), "size": found.metadata.get("size"),
                   "contentLength": found.metadata.get("contentLength")}), incoming.user_metadata  # fmt: skip


def _dated(metadata: dict[str, Any]) -> dict[str, Any]:
    return {**metadata, "eTag": metadata.get("eTag"), "lastModified": moment(datetime.now(UTC))}
