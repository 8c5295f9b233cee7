"""Buckets, as S3 has them: the same as at Storage's own routes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from app.storage.buckets import views as buckets
from app.storage.errors import StorageError
from app.storage.moments import moment
from app.storage.s3 import errors
from app.storage.s3.xml import NAMESPACE, document, parsed_body, serialized
from app.storage.serve.call import StorageAnswer

if TYPE_CHECKING:
    from app.storage.serve.call import StorageCall

XML = (("Content-Type", "application/xml"),)
# What a project's files are kept in has no place on the map: clients take what they sign for as theirs.
REGION = "us-east-1"
LIST_MAX = 10_000


def answer(content: bytes) -> StorageAnswer:
    """Return an answer in XML."""
    return StorageAnswer(content=content, headers=XML)


def list_all(call: StorageCall) -> StorageAnswer:
    """Answer the buckets that the caller sees."""
    found = buckets.listed(call, column="name", order="asc", limit=LIST_MAX)
    shown = [{"Name": row["id"], "CreationDate": moment(row["created_at"])} for row in found]
    return answer(document("ListAllMyBucketsResult", {"Owner": owner(call), "Buckets": {"Bucket": shown}}))


def owner(call: StorageCall) -> dict[str, str]:
    """Return whose everything is, as far as S3 asks: the project's."""
    return {"ID": call.project.id, "DisplayName": call.project.id}


def create(call: StorageCall) -> StorageAnswer:
    """Make a private bucket. Where it is to be makes no difference."""
    if call.length != 0:
        parsed_body(call, "CreateBucketConfiguration")
    try:
        buckets.make(call, call.path["bucket"], call.path["bucket"], {})
    except StorageError as error:
        if error.code == "BucketAlreadyExists":
            raise errors.refusal("BucketAlreadyExists", "The requested bucket name is not available", 409) from error
        raise
    return StorageAnswer(headers=(("Location", f"/{call.path['bucket']}"),))


def head(call: StorageCall) -> StorageAnswer:
    """Answer whether there is a bucket."""
    buckets.found(call, call.path["bucket"])
    return StorageAnswer(headers=(("X-Amz-Bucket-Region", REGION),))


def delete(call: StorageCall) -> StorageAnswer:
    """Delete a bucket that holds nothing."""
    buckets.remove(call, call.path["bucket"])
    return StorageAnswer(status=204)


def location(call: StorageCall) -> StorageAnswer:
    """Answer where a bucket is: an empty element is the region that is meant where none is named."""
    buckets.found(call, call.path["bucket"])
    return answer(serialized(Element("LocationConstraint", xmlns=NAMESPACE)))


def versioning(call: StorageCall) -> StorageAnswer:
    """Answer that there are no versions of objects."""
    buckets.found(call, call.path["bucket"])
    return answer(document("VersioningConfiguration", {}))
