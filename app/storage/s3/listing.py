"""A bucket's objects, listed as both versions of ListObjects do."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.storage.buckets import views as buckets
from app.storage.moments import moment
from app.storage.objects.incoming import header_values
from app.storage.s3 import errors
from app.storage.s3.buckets import answer, owner
from app.storage.s3.xml import document
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.storage.serve.call import StorageAnswer, StorageCall

SQL = statements(__file__)
KEYS_MAX, TEXT_MAX = 1000, 1024


def list_objects(call: StorageCall) -> StorageAnswer:
    """Answer one page of a bucket's objects, and of the prefixes that stand for others."""
    buckets.found(call, call.path["bucket"])
    kind = call.query.get("list-type", "1")
    if kind not in ("1", "2"):
        raise errors.invalid_argument("Invalid List Type")
    return _second(call) if kind == "2" else _first(call)


def _first(call: StorageCall) -> StorageAnswer:
    encoded, most = encoding_of(call), page_size(call, "max-keys")
    marker = text_of(call, "marker")
    rows, is_cut = _page(call, marker, most)
    last = encoded(rows[-1]["name"]) if is_cut and rows else None
    return _answer(call, rows, {
        "Marker": encoded(marker),
        "NextMarker": last,
        "MaxKeys": most,
        "IsTruncated": is_cut,
    }, owner(call))  # fmt: skip


def _second(call: StorageCall) -> StorageAnswer:
    encoded, most = encoding_of(call), page_size(call, "max-keys")
    token, after = call.query.get("continuation-token"), text_of(call, "start-after")
    rows, is_cut = _page(call, after if token is None else _continued(token), most)
    shows_owner = call.query.get("fetch-owner", "").lower() == "true"
    return _answer(call, rows, {
        "KeyCount": len(rows),
        "MaxKeys": most,
        "IsTruncated": is_cut,
        "ContinuationToken": token,
        "NextContinuationToken": _token(rows[-1]["name"]) if is_cut and rows else None,
        "StartAfter": encoded(after) if after else None,
    }, owner(call) if shows_owner else None)  # fmt: skip


def _answer(
    call: StorageCall, rows: list[dict[str, Any]], page: dict[str, Any], shown_owner: dict[str, str] | None
) -> StorageAnswer:
    encoded = encoding_of(call)
    return answer(document("ListBucketResult", {
        "Name": call.path["bucket"],
        "Prefix": encoded(text_of(call, "prefix")),
        "Delimiter": encoded(text_of(call, "delimiter")) or None,
        "EncodingType": call.query.get("encoding-type"),
        **page,
        "Contents": [_content(row, encoded, shown_owner) for row in rows if row["id"] is not None],
        "CommonPrefixes": [{"Prefix": encoded(row["name"])} for row in rows if row["id"] is None],
    }))  # fmt: skip


def _page(call: StorageCall, after: str, most: int) -> tuple[list[dict[str, Any]], bool]:
    """Return what stands behind a place, and whether there is more."""
    values = {
        "bucket": call.path["bucket"],
        "prefix": text_of(call, "prefix"),
        "delimiter": text_of(call, "delimiter"),
        "limit": most + 1,
        "after": after,
    }
    if most == 0:
        return [], False
    with call.transaction(once=True) as tx:
        tx.become(call.caller)
        rows = tx.rows(SQL.page if values["delimiter"] else SQL.flat_page, values)
    return rows[:most], len(rows) > most


def _content(
    row: Mapping[str, Any], encoded: Callable[[str], str], shown_owner: dict[str, str] | None
) -> dict[str, Any]:
    metadata = header_values(row["metadata"])
    return {
        "Key": encoded(row["name"]),
        "LastModified": moment(row["updated_at"]),
        "ETag": metadata.get("eTag"),
        "Size": metadata.get("size") or 0,
        "StorageClass": "STANDARD",
        "Owner": shown_owner,
    }


def encoding_of(call: StorageCall) -> Callable[[str], str]:
    """Return what keys are written by: as in URLs, where the client wants that. Raises StorageError."""
    kind = call.query.get("encoding-type")
    if kind is None:
        return str
    if kind != "url":
        raise errors.invalid_argument("Invalid Encoding Method specified in Request")
    return lambda text: quote(text, safe="/")


def page_size(call: StorageCall, name: str) -> int:
    """Return how many entries a page may have. Raises StorageError."""
    stated = call.query.get(name) or str(KEYS_MAX)
    if not (stated.isascii() and stated.isdigit() and len(stated) < 10):
        raise errors.invalid_argument(f"Provided {name} not an integer or within integer range")
    return min(int(stated), KEYS_MAX)


def text_of(call: StorageCall, name: str) -> str:
    """Return a parameter that is compared with keys. Raises StorageError for one that no key can be like."""
    stated = call.query.get(name) or ""
    if len(stated) > TEXT_MAX or "\0" in stated:
        raise errors.invalid_argument(f"The parameter {name} is no part of a key")
    return stated


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _continued(token: str) -> str:
    try:
        found = base64.urlsafe_b64decode(token.encode("ascii")).decode()
    except (binascii.Error, ValueError) as error:
        raise _bad_token() from error
    if not found or "\0" in found:
        raise _bad_token()
    return found


def _bad_token() -> Exception:
    return errors.invalid_argument("The continuation token provided is incorrect")
