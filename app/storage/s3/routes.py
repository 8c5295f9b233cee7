"""Which operation of S3 a request asks for: by its method, what it names, and which parameter it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app.storage.s3 import buckets, copying, errors, listing, multipart, objects, removing
from app.storage.serve.call import StorageRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.storage.serve.call import StorageAnswer, StorageCall

Level = Literal["service", "bucket", "object"]
COPIES = "X-Amz-Copy-Source"
# Parts of S3 that are not here, by the parameter that names them: none of them may be taken for a plain request.
NOT_HERE = frozenset({
    "accelerate", "acl", "analytics", "attributes", "cors", "encryption", "intelligent-tiering", "inventory",
    "legal-hold", "lifecycle", "logging", "metadataTable", "metrics", "notification", "object-lock",
    "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment",
    "restore", "retention", "select", "session", "tagging", "torrent", "versionId", "versions", "website",
})  # fmt: skip
# Headers that ask for what is not kept: who sends one relies upon it.
NO_HEADERS = ("x-amz-server-side-encryption", "x-amz-tagging", "x-amz-object-lock-", "x-amz-website-", "x-amz-grant-")
PRIVATE_ACLS = frozenset({"private", "bucket-owner-full-control"})
MARKERS = ("location", "versioning", "uploads", "uploadId", "delete")


@dataclass(frozen=True)
class Operation:
    """One operation.

    marker  the parameter that tells it from others, or ""
    name    as policies are told, without the prefix
    copies  whether it takes the place of what has a body, where a header names what is copied
    """

    method: str
    level: Level
    marker: str
    name: str
    view: Callable[[StorageCall], StorageAnswer]
    copies: bool = False


OPERATIONS = (
    Operation("GET", "service", "", "bucket.list", buckets.list_all),
    Operation("PUT", "bucket", "", "bucket.create", buckets.create),
    Operation("HEAD", "bucket", "", "bucket.head", buckets.head),
    Operation("DELETE", "bucket", "", "bucket.delete", buckets.delete),
    Operation("GET", "bucket", "location", "bucket.get_location", buckets.location),
    Operation("GET", "bucket", "versioning", "bucket.get_versioning", buckets.versioning),
    Operation("GET", "bucket", "", "object.list", listing.list_objects),
    Operation("GET", "bucket", "uploads", "upload.list_multipart", multipart.list_uploads),
    Operation("POST", "bucket", "delete", "object.delete_many", removing.remove_many),
    Operation("GET", "object", "", "object.get", objects.read),
    Operation("HEAD", "object", "", "object.info", objects.read),
    Operation("PUT", "object", "", "upload", objects.store),
    Operation("PUT", "object", "", "object.copy", copying.copy, copies=True),
    Operation("DELETE", "object", "", "object.delete", removing.remove),
    Operation("POST", "object", "uploads", "upload.create_multipart", multipart.create),
    Operation("PUT", "object", "uploadId", "upload.part", multipart.store_part),
    Operation("PUT", "object", "uploadId", "upload.part_copy", multipart.copy_part, copies=True),
    Operation("GET", "object", "uploadId", "upload.list_parts", multipart.list_parts),
    Operation("POST", "object", "uploadId", "upload.complete_multipart", multipart.complete),
    Operation("DELETE", "object", "uploadId", "upload.abort_multipart", multipart.abort),
)
_BY_SHAPE = {(each.method, each.level, each.marker, each.copies): each for each in OPERATIONS}


def route_of(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[StorageRoute, dict[str, str]]:
    """Return the route of a request, and its bucket and key. path: below the protocol's own. Raises StorageError."""
    bucket, _, key = path.removeprefix("/").partition("/")
    level: Level = "object" if key else "bucket" if bucket else "service"
    refuse_what_is_not_here(query, headers)
    marker = next((name for name in MARKERS if name in query), "")
    if "partNumber" in query and marker != "uploadId":
        raise errors.not_implemented("Reading a part by its number")
    copies = method == "PUT" and level == "object" and headers.get(COPIES) is not None
    operation = _BY_SHAPE.get((method, level, marker, copies))
    if operation is None:
        raise errors.refusal("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
    return StorageRoute(method, path, "token", f"s3.{operation.name}", operation.view), {"bucket": bucket, "key": key}


def refuse_what_is_not_here(query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Raise StorageError for a request that asks for more of S3 than is here."""
    named = next((name for name in query if name in NOT_HERE), None)
    if named is not None:
        raise errors.not_implemented(f"The parameter {named}")
    asked = next((name for name, _ in headers.items() if name.lower().startswith(NO_HEADERS)), None)
    if asked is not None:
        raise errors.not_implemented(f"The header {asked}")
    if (headers.get("X-Amz-Acl") or "private") not in PRIVATE_ACLS:
        raise errors.refusal("AccessControlListNotSupported", "The bucket does not allow ACLs")
