"""The operations of multipart uploads."""

from __future__ import annotations

import itertools
import re
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from app.storage.moments import moment
from app.storage.objects.found import FoundObject, opened, own_object
from app.storage.s3 import errors, headers, uploads
from app.storage.s3.buckets import answer, owner
from app.storage.s3.copying import CopySource, check_conditions, result
from app.storage.s3.listing import encoding_of, page_size, text_of
from app.storage.s3.objects import proven
from app.storage.s3.xml import children, document, parsed_body
from app.storage.s3.xml import text_of as element_text
from app.storage.serve.call import StorageAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO
    from xml.etree.ElementTree import Element

    from app.storage.s3.uploads import MultipartUpload
    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

READ_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)
_NUMBER = re.compile(r"\d{1,5}", re.ASCII)


def create(call: StorageCall) -> StorageAnswer:
    """Begin an upload in parts."""
    key = headers.key_to_store(call, None)
    upload_id = uploads.create(call, key, headers.incoming_of(call, iter(())))
    named = {"Bucket": call.path["bucket"], "Key": key, "UploadId": upload_id}
    return answer(document("InitiateMultipartUploadResult", named))


def store_part(call: StorageCall) -> StorageAnswer:
    """Store one part, which may come again."""
    if call.length is None:
        raise errors.refusal("MissingContentLength", "You must provide the Content-Length HTTP header", 411)
    number, upload = _part_number(call), _upload(call)
    part = uploads.store_part(call, upload, number, headers.incoming_of(call))
    return StorageAnswer(headers=(("ETag", f'"{part.etag}"'), *proven(call)))


def copy_part(call: StorageCall) -> StorageAnswer:
    """Store one part that is an object, or a range of one."""
    number, upload, source = _part_number(call), _upload(call), CopySource.of(call.headers)

    def find(tx: StorageTransaction) -> FoundObject:
        return own_object(call, tx, source.bucket, source.key)

    found, file = opened(call, find)
    with closing(file):
        check_conditions(call.headers, found)
        size = int(found.metadata.get("size") or 0)
        start, length = _range(call.headers.get("X-Amz-Copy-Source-Range"), size)
        file.seek(start)
        incoming = headers.incoming_of(call, _read(file, length))
        part = uploads.store_part(call, upload, number, replace(incoming, length=length))
    return answer(document("CopyPartResult", result(f'"{part.etag}"')))


def list_parts(call: StorageCall) -> StorageAnswer:
    """Answer the parts that have come."""
    upload = _upload(call)
    if upload.etag is not None:
        raise errors.no_such_upload()
    most, after = page_size(call, "max-parts"), call.query.get("part-number-marker") or "0"
    if not _NUMBER.fullmatch(after):
        raise errors.invalid_argument("Provided part-number-marker not an integer or within integer range")
    found = uploads.parts_of(call, upload, after=int(after), most=most + 1)
    page = found[:most]
    return answer(document("ListPartsResult", {
        "Bucket": upload.bucket,
        "Key": encoding_of(call)(upload.key),
        "UploadId": upload.id,
        "Initiator": owner(call),
        "Owner": owner(call),
        "StorageClass": "STANDARD",
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1].number if page else 0,
        "MaxParts": most,
        "IsTruncated": len(found) > most,
        "Part": [
            {
                "PartNumber": part.number,
                "LastModified": moment(part.created_at),
                "ETag": f'"{part.etag}"',
                "Size": part.size,
            }
            for part in page
        ],
    }))  # fmt: skip


def list_uploads(call: StorageCall) -> StorageAnswer:
    """Answer the uploads of a bucket that are under way, as far as they are the caller's."""
    encoded, most = encoding_of(call), page_size(call, "max-uploads")
    prefix, delimiter = text_of(call, "prefix"), text_of(call, "delimiter")
    key, marker = text_of(call, "key-marker"), text_of(call, "upload-id-marker")
    rows = uploads.listed(call, prefix, (key, marker), most + 1) if most else []
    page, folders = rows[:most], []
    if delimiter:
        folders = sorted({folder for row in page if (folder := _folder(row["key"], prefix, delimiter))})
        page = [row for row in page if not _folder(row["key"], prefix, delimiter)]
    last = rows[most - 1] if len(rows) > most else None
    return answer(document("ListMultipartUploadsResult", {
        "Bucket": call.path["bucket"],
        "KeyMarker": encoded(key),
        "UploadIdMarker": marker,
        "NextKeyMarker": encoded(last["key"]) if last else None,
        "NextUploadIdMarker": last["id"] if last else None,
        "Delimiter": encoded(delimiter) or None,
        "Prefix": encoded(prefix),
        "EncodingType": call.query.get("encoding-type"),
        "MaxUploads": most,
        "IsTruncated": len(rows) > most,
        "Upload": [
            {
                "Key": encoded(row["key"]),
                "UploadId": row["id"],
                "Initiator": owner(call),
                "Owner": owner(call),
                "StorageClass": "STANDARD",
                "Initiated": moment(row["created_at"]),
            }
            for row in page
        ],
        "CommonPrefixes": [{"Prefix": encoded(folder)} for folder in folders],
    }))  # fmt: skip


def complete(call: StorageCall) -> StorageAnswer:
    """Make the object of the parts that are named."""
    parts = children(parsed_body(call, "CompleteMultipartUpload"), "Part")
    if not parts or len(parts) > uploads.PARTS_MAX:
        raise errors.malformed_xml()
    wanted = [_named_part(part) for part in parts]
    if any(one[0] >= other[0] for one, other in itertools.pairwise(wanted)):
        raise errors.refusal(
            "InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number."
        )
    upload = _upload(call)
    etag = uploads.complete(call, upload, wanted, upsert=not headers.is_new_only(call.headers))
    place = f"{call.project.spec.url}/storage/v1/s3/{upload.bucket}/{upload.key}"
    named = {"Location": place, "Bucket": upload.bucket, "Key": upload.key, "ETag": etag}
    return answer(document("CompleteMultipartUploadResult", named))


def abort(call: StorageCall) -> StorageAnswer:
    """End an upload, whatever has come of it."""
    uploads.abort(call, _upload(call))
    return StorageAnswer(status=204)


def _upload(call: StorageCall) -> MultipartUpload:
    return uploads.find(call, text_of(call, "uploadId"), key=headers.key_of(call))


def _part_number(call: StorageCall) -> int:
    stated = call.query.get("partNumber") or ""
    if not _NUMBER.fullmatch(stated) or not 1 <= int(stated) <= uploads.PARTS_MAX:
        raise errors.invalid_argument(f"Part number must be an integer between 1 and {uploads.PARTS_MAX}, inclusive")
    return int(stated)


def _named_part(part: Element) -> tuple[int, str]:
    number, etag = element_text(part, "PartNumber"), element_text(part, "ETag")
    if number is None or etag is None or not _NUMBER.fullmatch(number.strip()):
        raise errors.malformed_xml()
    return int(number), etag.strip().strip('"')


def _range(stated: str | None, size: int) -> tuple[int, int]:
    """Return where a range begins, and how long it is. Raises StorageError."""
    if stated is None:
        return 0, size
    found = _RANGE.fullmatch(stated.strip())
    if found is None or int(found[2]) < int(found[1]):
        raise errors.invalid_argument("The x-amz-copy-source-range value must be of the form bytes=first-last")
    if int(found[2]) >= size:
        raise errors.invalid_argument(f"Range specified is not valid for source object of size: {size}")
    return int(found[1]), int(found[2]) - int(found[1]) + 1


def _read(file: IO[bytes], length: int) -> Iterator[bytes]:
    while length and (part := file.read(min(READ_BYTES, length))):
        length -= len(part)
        yield part


def _folder(key: str, prefix: str, delimiter: str) -> str | None:
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]
